"""Updates the search index of a set of sessions, with many sessions in one transaction."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from parley_contracts.session_api.keys import Person
from parley_core.crypto.sealing import DataKey, UnsealError
from parley_history.domain.rows import sealed_field
from parley_history.queries.messages.page_json import unseal_text
from parley_history.queries.search import index_repository as repository
from parley_history.queries.search.blind_tokens import key_fingerprint, tokens_of
from parley_history.queries.search.index_batches import (
    MAX_BYTES,
    MAX_MESSAGES,
    IndexBacklog,
    plan_batches,
    progress_of,
)
from parley_history.queries.search.index_repository import (
    IndexedMessage,
    IndexState,
    UnindexedMessage,
)
from parley_history.queries.search.words import words_of
from parley_history.session_service.key_cache import DataKeyCache, KeyCache
from parley_history.storage.database import Connection

log = logging.getLogger(__name__)


class SessionIndexer:
    def __init__(
        self, connection: Connection, keys: DataKeyCache, search_keys: KeyCache[Person]
    ) -> None:
        self._connection, self._keys, self._search_keys = connection, keys, search_keys

    async def index(self, session_ids: Sequence[UUID], request_id: str) -> int:
        """Return the number of added messages. Raises Unavailable without the session service."""
        searchable = await self.remove_unsearchable(session_ids)
        people = {_owner_of(session) for session in searchable}
        search_keys = await self._search_keys.get_many(people, request_id)
        outdated = {
            session: search_keys[_owner_of(session)]
            for session in searchable
            if _owner_of(session) in search_keys
            and not _is_current(session, search_keys[_owner_of(session)])
        }
        keys = await self._keys.get_many([session.id for session in outdated], request_id)
        # A missing key means that the session is erased and the erasure not projected yet.
        backlogs = [
            await self._backlog(session, keys[session.id], search_key)
            for session, search_key in outdated.items()
            if session.id in keys
        ]
        return sum([await self._index_batch(batch) for batch in plan_batches(backlogs)])

    async def remove_unsearchable(self, session_ids: Sequence[UUID]) -> Sequence[IndexState]:
        """Remove deleted, erased and temporary sessions from the index; return the others."""
        states = await repository.read_states(self._connection, session_ids)
        for session in states:
            if not session.searchable and session.indexed_version is not None:
                await repository.delete_session(self._connection, session.id)
                self._keys.evict([session.id])
                # With an owner's last session the search key is destroyed; a new one may follow.
                self._search_keys.evict([_owner_of(session)])
        return [session for session in states if session.searchable]

    async def _backlog(
        self, session: IndexState, key: DataKey, search_key: DataKey
    ) -> IndexBacklog:
        """Restart the index after a change of the search key or word rules, or a lower version."""
        indexed_version = session.indexed_version or 0
        key_changed = session.key_fingerprint not in (None, key_fingerprint(search_key))
        if key_changed or indexed_version > session.version:
            await repository.delete_session(self._connection, session.id)
            indexed_version = 0
        return IndexBacklog(session, indexed_version, key, search_key)

    async def _index_batch(self, batch: Sequence[IndexBacklog]) -> int:
        remaining, added = {backlog.session.id: backlog for backlog in batch}, 0
        while remaining:
            indexed = {id: backlog.indexed_version for id, backlog in remaining.items()}
            messages = await repository.read_unindexed(
                self._connection, indexed, MAX_MESSAGES, MAX_BYTES
            )
            # In a thread, because a batch of long messages takes a tenth of a second.
            rows = await asyncio.to_thread(_tokenize, messages, remaining)
            progress = progress_of(messages, remaining)
            await repository.add_messages(self._connection, rows, progress)
            added += len(rows)
            for session_id, version, _ in progress:
                remaining[session_id] = replace(remaining[session_id], indexed_version=version)
            remaining = {id: each for id, each in remaining.items() if each.max_messages > 0}
        return added


def _owner_of(session: IndexState) -> Person:
    return Person(session.tenant, session.owner)


def _is_current(session: IndexState, search_key: DataKey) -> bool:
    return session.indexed_version == session.version and (
        session.key_fingerprint == key_fingerprint(search_key)
    )


def _tokenize(
    messages: Sequence[UnindexedMessage], backlogs: Mapping[UUID, IndexBacklog]
) -> list[IndexedMessage]:
    tokens_by_session: dict[UUID, dict[str, int]] = {}
    rows = []
    for message in messages:
        backlog = backlogs[message.session_id]
        # The HMACs dominate the cost, and the messages of a session share most words.
        tokens = tokens_by_session.setdefault(message.session_id, {})
        words = words_of(_text(message, backlog.key))
        new = [word for word in words if word not in tokens]
        tokens.update(zip(new, tokens_of(backlog.search_key, new), strict=True))
        if words:
            said_at = message.original_time or message.created_at
            row = (backlog.session.tenant, backlog.session.owner, said_at)
            rows.append(
                IndexedMessage(message.session_id, message.id, *row, [tokens[w] for w in words])
            )
    return rows


def _text(message: UnindexedMessage, key: DataKey) -> str:
    field = sealed_field(message.status, message.original_time)
    context = {"session_id": message.session_id, "event_id": message.event_id}
    try:
        return unseal_text(message.content, key, field=field, **context)
    except UnsealError as error:
        log.error("message cannot be indexed: %s", error)
        return ""
