"""The event store: an append is one statement in one commit, fenced by the session's version."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from parley_core.cloudevents import Record, decode_data, encode
from parley_core.events import (
    CancelRequested,
    Event,
    MessageSubmitted,
    ReplyEnded,
    ReplyRequested,
    SessionStarted,
)
from parley_core.sealing import DataKey, MasterKeys
from parley_session.domain.state import Session, fold

Pool = asyncpg.Pool

_STORE = """
, stored AS (
    INSERT INTO events (session_id, sequence, id, type, time, data, traceparent)
    SELECT moved.id, new.*
    FROM moved, unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[], $9::text[])
        AS new
), queued AS (
    INSERT INTO outbox (session_id, sequence, bytes)
    SELECT moved.id, new.sequence, new.bytes
    FROM moved, unnest($4::int[], $10::int[]) AS new (sequence, bytes)
    ORDER BY new.sequence
), remembered AS (
    INSERT INTO remembered_requests (request, session_id, turn_id, fingerprint)
    SELECT $11, moved.id, $12::uuid, $13 FROM moved WHERE $11::bytea IS NOT NULL
)
"""

_START = (
    """
WITH moved AS (
    INSERT INTO sessions (id, version, updated_at, tenant, owner, assistant_id, wrapped_key)
    VALUES ($1, $2, $3, $14, $15, $16, $17)
    ON CONFLICT DO NOTHING
    RETURNING id
)"""
    + _STORE
    + "SELECT EXISTS (SELECT FROM moved)"
)

_MOVE = (
    """
WITH moved AS (
    UPDATE sessions SET version = $2, updated_at = $3
    WHERE id = $1 AND version = $14
    RETURNING id
)"""
    + _STORE
    + """
, opened AS (
    INSERT INTO turns (id, session_id, message_sequence, requested_sequence)
    SELECT $15::uuid, moved.id, $16::int, $17::int FROM moved WHERE $15 IS NOT NULL
), cancelled AS (
    UPDATE turns SET cancel_requested = true FROM moved WHERE turns.id = $18
), ended AS (
    UPDATE turns SET ended_sequence = $20 FROM moved WHERE turns.id = $19
)
SELECT EXISTS (SELECT FROM moved)
"""
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request with an Idempotency-Key, kept with what it did; none of its text."""

    request: bytes
    fingerprint: bytes
    session_id: UUID
    turn_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A session as it is stored now, and the key of its content."""

    session: Session
    key: DataKey


class EventStore:
    """Keeps the folded sessions that it loaded last, so that a load reads only what is new."""

    def __init__(
        self,
        pool: Pool,
        master_keys: MasterKeys,
        *,
        most_sessions_kept: int,
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_stored` is called after each commit that the relay should hear of."""
        self._pool, self._master_keys = pool, master_keys
        self._most_kept, self._on_stored = most_sessions_kept, on_stored
        self._kept: OrderedDict[UUID, Session] = OrderedDict()

    async def load(self, session_id: UUID) -> Held | None:
        """The session with every event that was committed before the call; None if it is unknown.

        Raises KeyDestroyed when it was erased.
        """
        row = await self._pool.fetchrow(
            "SELECT version, wrapped_key FROM sessions WHERE id = $1", session_id
        )
        if row is None:
            return None
        key = self._master_keys.unwrap(row["wrapped_key"], session_id)
        session = self._kept.get(session_id)
        if session is None or session.version < row["version"]:
            new = await self.events(session_id, after=session.version if session else 0)
            session = fold(new, session)
        assert session is not None
        self._keep(session)
        return Held(session, key)

    async def events(self, session_id: UUID, *, after: int = 0) -> list[Event]:
        """The session's events beyond the sequence `after`, oldest first."""
        rows = await self._pool.fetch(
            "SELECT * FROM events WHERE session_id = $1 AND sequence > $2 ORDER BY sequence",
            session_id,
            after,
        )
        return [event_of(row) for row in rows]

    async def events_at(self, session_id: UUID, sequences: Sequence[int]) -> list[Event]:
        rows = await self._pool.fetch(
            "SELECT * FROM events WHERE session_id = $1 AND sequence = ANY($2) ORDER BY sequence",
            session_id,
            sequences,
        )
        return [event_of(row) for row in rows]

    async def append(
        self,
        held: Held | None,
        events: Sequence[Event],
        *,
        key: DataKey,
        remember: Remembered | None = None,
    ) -> Held | None:
        """Store the events that follow `held`, durably; None when another append came first.

        Outbox rows, turns and the remembered request are of the same commit.
        Raises EventTooLarge; then nothing is stored.
        """
        records = [encode(event) for event in events]
        common = _common(events, records, remember)
        if held is None:
            statement, own = _START, self._starting(events[0], key)
        else:
            statement, own = _MOVE, [held.session.version, *_turn_changes(events)]
        try:
            stored = await self._pool.fetchval(statement, *common, *own)
        except asyncpg.UniqueViolationError as collision:
            # The same Idempotency-Key at the same moment: whoever lost reads what the other did.
            if collision.table_name != "remembered_requests":
                raise
            return None
        if not stored:
            return None
        self._on_stored()
        session = fold(events, held.session if held else None)
        assert session is not None
        self._keep(session)
        return Held(session, key)

    async def recall(self, request: bytes) -> tuple[Remembered, DataKey] | None:
        """What the request did, and the key of the session it did it to.

        Raises KeyDestroyed when that session was erased.
        """
        row = await self._pool.fetchrow(
            """
            SELECT r.session_id, r.turn_id, r.fingerprint, s.wrapped_key
            FROM remembered_requests r JOIN sessions s ON s.id = r.session_id
            WHERE r.request = $1
            """,
            request,
        )
        if row is None:
            return None
        key = self._master_keys.unwrap(row["wrapped_key"], row["session_id"])
        return Remembered(request, row["fingerprint"], row["session_id"], row["turn_id"]), key

    async def latest_session(self, tenant: str, owner: str, assistant_id: str) -> UUID | None:
        """The person's session with that assistant that moved last."""
        found: UUID | None = await self._pool.fetchval(
            """
            SELECT id FROM sessions
            WHERE tenant = $1 AND owner = $2 AND assistant_id = $3 AND wrapped_key IS NOT NULL
            ORDER BY updated_at DESC, id LIMIT 1
            """,
            tenant,
            owner,
            assistant_id,
        )
        return found

    async def data_keys(self, session_ids: Sequence[UUID]) -> dict[UUID, DataKey | None]:
        """The keys of the sessions that exist; None where the session was erased."""
        rows = await self._pool.fetch(
            "SELECT id, wrapped_key FROM sessions WHERE id = ANY($1)", session_ids
        )
        return {
            row["id"]: row["wrapped_key"]
            and self._master_keys.unwrap(row["wrapped_key"], row["id"])
            for row in rows
        }

    def _starting(self, event: Event, key: DataKey) -> list[Any]:
        assert isinstance(event.data, SessionStarted)
        wrapped = self._master_keys.wrap(key, event.session_id)
        return [event.data.tenant, event.data.owner, event.data.assistant_id, wrapped]

    def _keep(self, session: Session) -> None:
        known = self._kept.get(session.id)
        if known is None or known.version <= session.version:
            self._kept[session.id] = session
        self._kept.move_to_end(session.id)
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)


def event_of(row: asyncpg.Record) -> Event:
    return Event(
        id=row["id"],
        session_id=row["session_id"],
        sequence=row["sequence"],
        time=row["time"],
        data=decode_data(row["type"], row["data"].encode()),
        traceparent=row["traceparent"],
    )


def _common(
    events: Sequence[Event], records: Sequence[Record], remember: Remembered | None
) -> list[Any]:
    last = events[-1]
    return [
        last.session_id,
        last.sequence,
        last.time,
        [event.sequence for event in events],
        [event.id for event in events],
        [event.type for event in events],
        [event.time for event in events],
        [record.value.decode() for record in records],
        [event.traceparent for event in events],
        [len(record.value) for record in records],
        remember.request if remember else None,
        remember.turn_id if remember else None,
        remember.fingerprint if remember else None,
    ]


def _turn_changes(events: Sequence[Event]) -> list[Any]:
    """(opened, its message's place, its own place, asked to cancel, ended, the end's place)."""
    opened = message = requested = cancelled = ended = end = None
    for event in events:
        match event.data:
            case MessageSubmitted():
                message = event.sequence
            case ReplyRequested(turn_id=turn_id):
                opened, requested = turn_id, event.sequence
            case CancelRequested(turn_id=turn_id):
                cancelled = turn_id
            case ReplyEnded(turn_id=turn_id):
                ended, end = turn_id, event.sequence
            case _:
                pass
    return [opened, message, requested, cancelled, ended, end]
