"""Pages of a session's messages, read from the read model.

A session that never branched is read by version, in one statement; so is everything that is in any
branch. A branch is followed from its leaf, by a second one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_history.domain.rows import MessageRow
from parley_history.queries.messages.page_request import PageRequest
from parley_history.queries.messages.page_sql import (
    READ_BEHIND,
    READ_BRANCH,
    READ_NEWER,
    READ_OLDER,
    READ_VERSION,
)
from parley_history.queries.query_parameters import VERSION_MOST


@dataclass(frozen=True, slots=True)
class StoredPage:
    """`version` is the projected one of the session; `messages` are in the order asked for.

    Unless `cursor_known` and `leaf_known`, the list that was asked for has no message with the
    cursor's id, or the session none with the leaf's: not a page at all.
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
        self, session_id: UUID, person: Principal, asked: PageRequest
    ) -> StoredPage | None:
        """A page, or None where this person has no such session, or has deleted it."""
        rows = await self._pool.fetch(
            READ_OLDER if asked.older else READ_NEWER,
            session_id,
            person.tenant,
            person.user,
            asked.cursor,
            # One message more than asked for tells whether there are more.
            asked.limit + 1,
            asked.leaf,
            asked.as_of_version or VERSION_MOST,
            asked.as_of_instant,
            asked.all_branches,
        )
        if not rows:
            return None
        first = rows[0]
        version, edge, leaf = first["session_version"], first["edge"], first["leaf"]
        unknown = StoredPage(version, (), has_more=False)
        if asked.leaf and leaf is None:
            return replace(unknown, leaf_known=False)
        if asked.cursor and (edge is None or edge > (leaf or edge)):
            return replace(unknown, cursor_known=False)
        if first["linear"] or asked.all_branches:
            return _page(version, rows, 4, asked)
        rows = await self._branch(session_id, leaf, edge, asked)
        if edge and not rows[0]["edge"]:
            return replace(unknown, cursor_known=False)
        return _page(version, rows, 1, asked)

    async def _branch(
        self, session_id: UUID, leaf: int | None, edge: int | None, asked: PageRequest
    ) -> list[asyncpg.Record]:
        wanted = asked.limit + 1
        below = edge or VERSION_MOST if asked.older else VERSION_MOST
        above = 0 if asked.older else edge or 0
        rows: list[asyncpg.Record] = await self._pool.fetch(
            READ_BRANCH,
            session_id,
            leaf,
            asked.as_of_version or VERSION_MOST,
            asked.as_of_instant,
            below,
            above,
            wanted if asked.older else VERSION_MOST,
            edge,
            wanted,
        )
        return rows[::-1] if asked.older else rows

    async def version(self, session_id: UUID) -> int:
        """The projected version of anyone's session; 0 while it is not projected."""
        version: int | None = await self._pool.fetchval(READ_VERSION, session_id)
        return version or 0

    async def behind(self, seen: Mapping[UUID, int]) -> dict[UUID, int]:
        """Those of the versions, of anyone's sessions, that are not projected yet."""
        rows = await self._pool.fetch(READ_BEHIND, [*seen], [*seen.values()])
        return {row["id"]: row["version"] for row in rows}


def _page(
    version: int, rows: Sequence[asyncpg.Record], others: int, asked: PageRequest
) -> StoredPage:
    """`others` is the number of columns before those of a message."""
    messages = [MessageRow(*tuple(row)[others:]) for row in rows if row["id"]]
    page = messages[: asked.limit]
    if asked.older != asked.newest_first:
        page.reverse()
    return StoredPage(version, page, has_more=len(messages) > asked.limit)
