"""Repository of message pages.

One statement reads a session that never branched, or all branches of any session, by version. A
branch takes a second statement that follows the parents from its leaf, and long messages one that
reads their contents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg
from msgspec import structs

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.domain.rows import MessageRow
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.messages.page_sql import (
    MAX_INLINE_BYTES,
    READ_BRANCH_NEWER,
    READ_BRANCH_OLDER,
    READ_LONG_CONTENTS,
    READ_NEWER,
    READ_OLDER,
)
from parley_history.queries.query_parameters import MAX_VERSION

# A page of 100 messages might have 25 MiB: it ends before the message that exceeds this many bytes,
# as they are stored, but has at least one message.
MAX_PAGE_BYTES = 4 * 1024 * 1024
_COLUMNS_BEFORE_MESSAGE = 5
_COLUMNS_BEFORE_BRANCH_MESSAGE = 2


@dataclass(frozen=True, slots=True)
class StoredPage:
    """`version` is the projected version of the session; `messages` are in the requested order.

    Without `cursor_known`, the requested list has no message with the cursor's id; without
    `leaf_known`, the session has none with the leaf's id. Such a result is not a page.
    """

    version: int
    messages: Sequence[MessageRow]
    has_more: bool
    cursor_known: bool = True
    leaf_known: bool = True


class PageRepository:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(
        self, session_id: UUID, owner: Principal, request: PageRequest
    ) -> StoredPage | None:
        """Return None when the owner has no such session, or has deleted it."""
        rows = await self._pool.fetch(
            READ_OLDER if request.older else READ_NEWER,
            session_id,
            owner.tenant,
            owner.user,
            request.cursor,
            # One message more than the limit shows whether there are more.
            request.limit + 1,
            request.leaf,
            request.as_of_version or MAX_VERSION,
            request.as_of_instant,
            request.all_branches,
        )
        if not rows:
            return None
        first = rows[0]
        version, edge, leaf = first["session_version"], first["edge"], first["leaf"]
        unknown = StoredPage(version, (), has_more=False)
        if request.leaf and leaf is None:
            return replace(unknown, leaf_known=False)
        if request.cursor and (edge is None or edge > (leaf or edge)):
            return replace(unknown, cursor_known=False)
        if first["linear"] or request.all_branches:
            return await self._page(version, rows, _COLUMNS_BEFORE_MESSAGE, request)
        rows = await self._read_branch(session_id, leaf, edge, request)
        if edge and not rows[0]["edge"]:
            return replace(unknown, cursor_known=False)
        return await self._page(version, rows, _COLUMNS_BEFORE_BRANCH_MESSAGE, request)

    async def _read_branch(
        self, session_id: UUID, leaf: int | None, edge: int | None, request: PageRequest
    ) -> list[asyncpg.Record]:
        limit = request.limit + 1
        below = edge or MAX_VERSION if request.older else MAX_VERSION
        above = 0 if request.older else edge or 0
        return await self._pool.fetch(
            READ_BRANCH_OLDER if request.older else READ_BRANCH_NEWER,
            session_id,
            leaf,
            request.as_of_version or MAX_VERSION,
            request.as_of_instant,
            below,
            above,
            limit if request.older else MAX_VERSION,
            edge,
            limit,
        )

    async def _page(
        self,
        version: int,
        rows: Sequence[asyncpg.Record],
        columns_before: int,
        request: PageRequest,
    ) -> StoredPage | None:
        found = [row for row in rows if row["id"]]
        fitting = _fitting(found[: request.limit])
        messages = [MessageRow(*tuple(row)[columns_before:]) for row in fitting]
        long = [row["version"] for row in fitting if (row["content_bytes"] or 0) > MAX_INLINE_BYTES]
        if long:
            session_id = messages[0].session_id
            stored = await self._pool.fetch(READ_LONG_CONTENTS, session_id, long)
            contents = {row["version"]: row["content"] for row in stored}
            if len(contents) < len(long):
                return None  # The session was erased meanwhile.
            messages = [
                structs.replace(each, content=contents.get(each.version, each.content))
                for each in messages
            ]
        if request.older != request.newest_first:
            messages.reverse()
        return StoredPage(version, messages, has_more=len(fitting) < len(found))


def _fitting(rows: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
    """The first of them, with together at most MAX_PAGE_BYTES, but at least one."""
    total = 0
    for number, row in enumerate(rows):
        total += row["content_bytes"] or 0
        if number and total > MAX_PAGE_BYTES:
            return rows[:number]
    return rows
