"""Brings the index of some sessions to where their messages are."""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from parley_core.sealing import DataKey, SealBroken
from parley_history.content_keys import ContentKeys, KeptKeys
from parley_history.page_json import said
from parley_history.search import tables
from parley_history.search.tables import Indexed, State, Unindexed
from parley_history.search.words import mark_of, tokens_of, words_of
from parley_history.session_client import Person

log = logging.getLogger(__name__)

# What is in memory at once, opened.
_MESSAGES, _BYTES = 200, 1024 * 1024


class Indexing:
    def __init__(
        self,
        connection: "tables.Connection[asyncpg.Record]",
        keys: ContentKeys,
        search_keys: KeptKeys[Person],
    ) -> None:
        self._connection, self._keys, self._search_keys = connection, keys, search_keys

    async def index(self, session_ids: Sequence[UUID], request_id: str) -> int:
        """Answers how many messages were added. Raises Unavailable when session does not answer."""
        searched = await self.forget(session_ids)
        people = {person_of(session) for session in searched}
        search_keys = await self._search_keys.of_many(people, request_id)
        behind = {
            session: search_keys[person_of(session)]
            for session in searched
            if person_of(session) in search_keys
            and not _is_indexed(session, search_keys[person_of(session)])
        }
        keys = await self._keys.of_many([session.id for session in behind], request_id)
        # Where a key is gone, the erasure is on its way.
        return sum(
            [
                await self._add(session, keys[session.id], search_key)
                for session, search_key in behind.items()
                if session.id in keys
            ]
        )

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

    async def _add(self, session: State, key: DataKey, search_key: DataKey) -> int:
        mark, indexed, added = mark_of(search_key), session.indexed or 0, 0
        if session.key_mark not in (None, mark) or indexed > session.version:
            await tables.remove(self._connection, session.id)
            indexed = 0
        while indexed < session.version:
            messages = await tables.not_indexed(
                self._connection, session.id, indexed, _MESSAGES, _BYTES
            )
            # Off the event loop: a page of long messages takes a tenth of a second.
            rows = await asyncio.to_thread(_indexed, messages, session.id, key, search_key)
            indexed = messages[-1].version if messages else session.version
            added += len(rows)
            await tables.add(self._connection, session, rows, indexed, mark)
        return added


def person_of(session: State) -> Person:
    return Person(session.tenant, session.owner)


def _is_indexed(session: State, search_key: DataKey) -> bool:
    return session.indexed == session.version and session.key_mark == mark_of(search_key)


def _indexed(
    messages: Sequence[Unindexed], session_id: UUID, key: DataKey, search_key: DataKey
) -> list[Indexed]:
    by_message = [(message, words_of(_text(message, session_id, key))) for message in messages]
    # Once for all messages: most of their words are the same, and an HMAC costs most of the time.
    all_words = [*set().union(*(words for _, words in by_message))]
    tokens = dict(zip(all_words, tokens_of(search_key, all_words), strict=True))
    return [
        Indexed(message.id, message.said_at, [tokens[word] for word in words])
        for message, words in by_message
        if words
    ]


def _text(message: Unindexed, session_id: UUID, key: DataKey) -> str:
    sealed_for = {"session_id": session_id, "event_id": message.event_id}
    try:
        return said(message.content, key, status=message.status, **sealed_for)
    except SealBroken as broken:
        log.error("a message cannot be indexed: %s", broken)
        return ""
