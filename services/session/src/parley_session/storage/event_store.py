"""Event store in Postgres: one statement and one commit per append, fenced by session version."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

import asyncpg

from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.crypto.sealing import DataKey
from parley_core.runtime.offload import run_in_thread_if_large
from parley_core.storage.postgres_pool import Pool
from parley_events.audit import AuditData
from parley_events.session import Event, ReplyRequested
from parley_session.domain.session.state import BrokenStream, Session, fold
from parley_session.key_management.keyring import Keyring
from parley_session.storage.append.append_condition import AppendCondition, WithinLimits
from parley_session.storage.append.append_statement import (
    IdempotencyRecord,
    append_statement,
)
from parley_session.storage.append.counted_usage import UsageCounted
from parley_session.storage.append.statement import Statement
from parley_session.storage.event_cache import RecentEvents, SessionCache
from parley_session.storage.event_rows import event_from_row
from parley_session.storage.session_snapshots import SessionSnapshots
from parley_session.storage.turn_counts import UsageWindows

_FIND = "SELECT version, wrapped_key FROM sessions WHERE id = $1"
# Bounds the memory of a load, and how long it blocks the event loop.
_EVENTS_PER_READ = 200


@dataclass(frozen=True, slots=True)
class LoadedSession:
    """A session at its stored version, and its data key."""

    session: Session
    key: DataKey


class PublishVersion(Protocol):
    """Publishes a committed version of a session; `gone` when it is deleted or erased."""

    async def __call__(self, session_id: UUID, version: int, *, gone: bool) -> None: ...


async def _publish_nothing(session_id: UUID, version: int, *, gone: bool) -> None:
    pass


class EventStore:
    """Loads and appends sessions; a load reads only events after the cached one or a snapshot."""

    def __init__(
        self,
        pool: Pool,
        keyring: Keyring,
        *,
        max_cache_bytes: int,
        on_appended: Callable[[bool], None] = lambda _: None,
        on_audited: Callable[[], None] = lambda: None,
        observe_append: Callable[[float], None] = lambda _: None,
        publish_version: PublishVersion = _publish_nothing,
        usage_counted: Callable[[], UsageCounted] = lambda: "nothing",
    ) -> None:
        """`on_appended` is called after each commit, with whether it opened a turn.

        `on_audited` is called after each that has records of the audit trail.
        `publish_version` is awaited before this process returns a new version to anybody.

        `observe_append` is called with the duration of each append, in seconds. `usage_counted` is
        what limits need of replies.
        """
        self._pool, self._keyring = pool, keyring
        self._on_appended, self._observe_append = on_appended, observe_append
        self._on_audited = on_audited
        self._publish_version, self._usage_counted = publish_version, usage_counted
        self._sessions, self._recent_events = SessionCache(max_cache_bytes), RecentEvents()
        self._snapshots = SessionSnapshots(pool)

    async def load(self, session_id: UUID) -> LoadedSession | None:
        """The session with every event committed before the call; None if it is unknown.

        Raises KeyDestroyed if it was erased.
        """
        row = await self._pool.fetchrow(_FIND, session_id)
        return await self.load_at(session_id, row["version"], row["wrapped_key"]) if row else None

    async def load_without_key(self, session_id: UUID) -> LoadedSession | None:
        """Like `load`, with a key that opens nothing, for what neither reads nor seals content.

        It needs no master key.
        """
        row = await self._pool.fetchrow(_FIND, session_id)
        if row is None:
            return None
        if row["wrapped_key"] is None:
            self._sessions.remove(session_id)
            raise KeyDestroyed(f"the key of session {session_id} was destroyed")
        session = await self._session_at(session_id, row["version"])
        return LoadedSession(session, DataKey.generate())

    async def load_at(
        self, session_id: UUID, version: int, wrapped_key: bytes | None
    ) -> LoadedSession:
        """Like `load`, for a caller that has read the session's row."""
        if wrapped_key is None:
            self._sessions.remove(session_id)
        key = await self._keyring.unwrap(wrapped_key, session_id)
        return LoadedSession(await self._session_at(session_id, version), key)

    async def events_at(self, session_id: UUID, sequences: Collection[int]) -> list[Event]:
        """The events with these sequences, in order."""
        cached = self._recent_events.get(session_id, sequences)
        if cached is not None:
            return cached
        rows = await self._pool.fetch(
            "SELECT * FROM events WHERE session_id = $1 AND sequence = ANY($2) ORDER BY sequence",
            session_id,
            [*sequences],
        )
        return await run_in_thread_if_large(
            len(rows), lambda: [event_from_row(row) for row in rows]
        )

    async def append(
        self,
        loaded: LoadedSession | None,
        events: Sequence[Event],
        *,
        key: DataKey,
        idempotency_record: IdempotencyRecord | None = None,
        condition: AppendCondition | None = None,
        audited: Sequence[AuditData] = (),
        on_counted: Callable[[UsageWindows], None] = lambda _: None,
    ) -> LoadedSession | None:
        """Append events that follow `loaded`.

        None if another append was committed first, or if the condition does not hold. Outbox
        rows, turns, the idempotency record and the records `audited` are part of the same commit.
        With WithinLimits, `on_counted` is called. Raises EventTooLarge, or LimitReached, in which
        case nothing was stored.
        """
        wrapped_key = None if loaded else await self._keyring.wrap(key, events[0].session_id)
        usage_counted = self._usage_counted()
        newest_turn_id = (
            loaded.session.newest_turn_id if loaded and usage_counted == "costs" else None
        )
        build_statement = partial(
            append_statement,
            events,
            loaded.session.version if loaded else 0,
            wrapped_key=wrapped_key,
            idempotency_record=idempotency_record,
            message_sequences=_earlier_parent_sequences(loaded, events),
            condition=condition,
            usage_counted=usage_counted,
            newest_turn_id=newest_turn_id,
            audited=audited,
        )
        statement = await run_in_thread_if_large(len(events), build_statement)
        try:
            if not await self._execute(statement, _opens_turn(events), condition, on_counted):
                return None
        except asyncpg.UniqueViolationError as violation:
            # A concurrent request with the same Idempotency-Key won: the caller reads its result.
            if violation.table_name != "remembered_requests":
                raise
            return None
        if audited:
            self._on_audited()
        self._recent_events.add(events, statement.event_bytes)
        session = fold(events, loaded.session if loaded else None)
        assert session is not None
        await self._publish(session)
        self._sessions.add(session)
        await self._snapshots.write_if_due(session, loaded.session if loaded else None)
        return LoadedSession(session, key)

    async def append_single_event_stream(self, event: Event, subjects: Sequence[str] = ()) -> bool:
        """Append an event that is a whole stream and has no key; False if its id is taken.

        What it used counts to `subjects` of its person.
        """
        statement = append_statement(
            [event],
            0,
            wrapped_key=None,
            idempotency_record=None,
            message_sequences={},
            usage_counted=self._usage_counted(),
            completion_subjects=subjects,
        )
        return await self._execute(statement)

    async def find_idempotency_record(
        self, request: bytes
    ) -> tuple[IdempotencyRecord, DataKey] | None:
        """The record of an earlier execution of the request, with the key of its session.

        Raises KeyDestroyed if that session was erased.
        """
        row = await self._pool.fetchrow(
            """
            SELECT r.session_id, r.turn_id, r.fingerprint, r.answer, s.wrapped_key
            FROM remembered_requests r JOIN sessions s ON s.id = r.session_id
            WHERE r.request = $1
            """,
            request,
        )
        if row is None:
            return None
        key = await self._keyring.unwrap(row["wrapped_key"], row["session_id"])
        return IdempotencyRecord(
            request, row["fingerprint"], row["session_id"], row["turn_id"], row["answer"]
        ), key

    async def data_keys(self, session_ids: Sequence[UUID]) -> dict[UUID, DataKey | None]:
        """The keys of the sessions that exist; None for a deleted or erased one."""
        rows = await self._pool.fetch(
            """
            SELECT id, CASE WHEN NOT deleted THEN wrapped_key END AS wrapped_key
            FROM sessions WHERE id = ANY($1)
            """,
            session_ids,
        )
        keys: dict[UUID, DataKey | None] = {row["id"]: None for row in rows}
        wrapped = [(row["wrapped_key"], row["id"]) for row in rows if row["wrapped_key"]]
        unwrapped = await self._keyring.unwrap_all(wrapped)
        return keys | {each: key for (_, each), key in zip(wrapped, unwrapped, strict=True)}

    async def _execute(
        self,
        statement: Statement,
        opens_turn: bool = False,
        condition: AppendCondition | None = None,
        on_counted: Callable[[UsageWindows], None] = lambda _: None,
    ) -> bool:
        """Raises LimitReached."""
        started = time.perf_counter()
        row = await self._pool.fetchrow(statement.text, *statement.values)
        assert row is not None
        appended: bool = row[0]
        if isinstance(condition, WithinLimits):
            on_counted(condition.counted.windows_of(row[1:4]))
        if appended:
            self._observe_append(time.perf_counter() - started)
            self._on_appended(opens_turn)
        return appended

    async def _publish(self, session: Session) -> None:
        gone = session.deleted or session.erased
        await self._publish_version(session.id, session.version, gone=gone)

    async def _session_at(self, session_id: UUID, version: int) -> Session:
        cached = self._sessions.get(session_id)
        if cached is not None and cached.version >= version:
            return cached
        earlier = session = cached or await self._snapshots.read(session_id, version)
        while session is None or session.version < version:
            session = fold(await self._next_events(session_id, session), session)
        # Another process committed it, and may have died before it published the version.
        await self._publish(session)
        self._sessions.add(session)
        await self._snapshots.write_if_due(session, earlier)
        return session

    async def _next_events(self, session_id: UUID, session: Session | None) -> list[Event]:
        rows = await self._pool.fetch(
            """
            SELECT * FROM events WHERE session_id = $1 AND sequence > $2
            ORDER BY sequence LIMIT $3
            """,
            session_id,
            session.version if session else 0,
            _EVENTS_PER_READ,
        )
        if not rows:
            raise BrokenStream(f"events of session {session_id} are missing")
        return [event_from_row(row) for row in rows]


def _earlier_parent_sequences(
    loaded: LoadedSession | None, events: Sequence[Event]
) -> dict[UUID, int]:
    """Sequences of the messages that `events` reply to and that were stored before them."""
    messages = loaded.session.messages if loaded else {}
    parents = (e.data.parent_message_id for e in events if isinstance(e.data, ReplyRequested))
    return {parent: messages[parent].sequence for parent in parents if parent in messages}


def _opens_turn(events: Sequence[Event]) -> bool:
    return any(isinstance(event.data, ReplyRequested) for event in events)
