"""Brings the index of some sessions to where their messages are, many of them in one commit."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from parley_core.crypto.sealing import DataKey, UnsealError
from parley_history.queries.messages.page_json import said
from parley_history.queries.search import index_batches as behind
from parley_history.queries.search import index_repository as tables
from parley_history.queries.search.blind_tokens import mark_of, tokens_of, words_of
from parley_history.queries.search.index_batches import IndexBacklog
from parley_history.queries.search.index_repository import Indexed, State, Unindexed
from parley_history.session_service.client import Person
from parley_history.session_service.key_cache import DataKeyCache, KeyCache

log = logging.getLogger(__name__)


class SessionIndexer:
    def __init__(
        self,
        connection: "tables.Connection[asyncpg.Record]",
        keys: DataKeyCache,
        search_keys: KeyCache[Person],
    ) -> None:
        self._connection, self._keys, self._search_keys = connection, keys, search_keys

    async def index(self, session_ids: Sequence[UUID], request_id: str) -> int:
        """Answers how many messages were added. Raises Unavailable when session does not answer."""
        searched = await self.forget(session_ids)
        people = {person_of(session) for session in searched}
        search_keys = await self._search_keys.of_many(people, request_id)
        unindexed = {
            session: search_keys[person_of(session)]
            for session in searched
            if person_of(session) in search_keys
            and not _is_indexed(session, search_keys[person_of(session)])
        }
        keys = await self._keys.of_many([session.id for session in unindexed], request_id)
        # Where a key is gone, the erasure is on its way.
        ready = [
            await self._begin(session, keys[session.id], search_key)
            for session, search_key in unindexed.items()
            if session.id in keys
        ]
        return sum([await self._add(some) for some in behind.together(ready)])

    async def forget(self, session_ids: Sequence[UUID]) -> Sequence[State]:
        """Remove what is not to be found any more; answers the others."""
        states = await tables.states_of(self._connection, session_ids)
        for session in states:
            if not session.searched and session.indexed is not None:
                await tables.remove(self._connection, session.id)
                self._keys.drop([session.id])
                # With their last session a person's key goes as well: another one may come.
                self._search_keys.drop([person_of(session)])
        return [session for session in states if session.searched]

    async def _begin(self, session: State, key: DataKey, search_key: DataKey) -> IndexBacklog:
        """What is of another key, or of another past, is removed first."""
        indexed = session.indexed or 0
        if session.key_mark not in (None, mark_of(search_key)) or indexed > session.version:
            await tables.remove(self._connection, session.id)
            indexed = 0
        return IndexBacklog(session, indexed, key, search_key)

    async def _add(self, sessions: Sequence[IndexBacklog]) -> int:
        left, added = {each.session.id: each for each in sessions}, 0
        while left:
            indexed = {session_id: each.indexed for session_id, each in left.items()}
            messages = await tables.not_indexed(
                self._connection, indexed, behind.MESSAGES, behind.BYTES
            )
            # Off the event loop: a page of long messages takes a tenth of a second.
            rows = await asyncio.to_thread(_indexed, messages, left)
            reached = behind.reached(messages, left)
            await tables.add(self._connection, rows, reached)
            added += len(rows)
            for session_id, version, _ in reached:
                left[session_id] = replace(left[session_id], indexed=version)
            left = {key: each for key, each in left.items() if each.most_messages > 0}
        return added


def person_of(session: State) -> Person:
    return Person(session.tenant, session.owner)


def _is_indexed(session: State, search_key: DataKey) -> bool:
    return session.indexed == session.version and session.key_mark == mark_of(search_key)


def _indexed(messages: Sequence[Unindexed], sessions: Mapping[UUID, IndexBacklog]) -> list[Indexed]:
    tokens: dict[UUID, dict[str, int]] = {}
    rows = []
    for message in messages:
        each = sessions[message.session_id]
        # An HMAC costs most of the time, and most words of a session's messages are the same.
        known = tokens.setdefault(message.session_id, {})
        words = words_of(_text(message, each.key))
        new = [word for word in words if word not in known]
        known.update(zip(new, tokens_of(each.search_key, new), strict=True))
        if words:
            place = (each.session.tenant, each.session.owner, message.said_at)
            rows.append(Indexed(message.session_id, message.id, *place, [known[w] for w in words]))
    return rows


def _text(message: Unindexed, key: DataKey) -> str:
    sealed_for = {"session_id": message.session_id, "event_id": message.event_id}
    try:
        return said(message.content, key, status=message.status, **sealed_for)
    except UnsealError as broken:
        log.error("a message cannot be indexed: %s", broken)
        return ""
