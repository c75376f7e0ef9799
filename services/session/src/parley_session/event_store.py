"""The event store: an append is one statement in one commit, fenced by the session's version."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from parley_core.cloudevents import decode_data, encode
from parley_core.events import (
    CancelRequested,
    Event,
    MessageSubmitted,
    ReplyEnded,
    ReplyRequested,
    SessionStarted,
)
from parley_core.pool import Pool
from parley_core.sealing import DataKey, MasterKeys
from parley_session.domain.state import BrokenStream, Session, fold

# Bounds what a load holds in memory, and for how long it keeps others waiting.
_EVENTS_AT_ONCE = 200

_STARTED = """
WITH moved AS (
    INSERT INTO sessions (id, version, updated_at, tenant, owner, assistant_id, wrapped_key)
    VALUES ($1, $2, $3, $9, $10, $11, $12)
    ON CONFLICT DO NOTHING
    RETURNING id
)"""
_MOVED = """
WITH moved AS (
    UPDATE sessions SET version = $2, updated_at = $3
    WHERE id = $1 AND version = $9
    RETURNING id
)"""
_STORED = """, stored AS (
    INSERT INTO events (session_id, sequence, id, type, time, data, traceparent)
    SELECT $1, new.* FROM moved,
        unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[], {}::text[]) AS new
), queued AS (
    INSERT INTO outbox (session_id, sequence, bytes)
    SELECT $1, new.sequence, new.bytes FROM moved, unnest($4::int[], {}::int[])
        AS new (sequence, bytes) ORDER BY new.sequence
)"""
_REMEMBERED = """, remembered AS (
    INSERT INTO remembered_requests (request, session_id, turn_id, fingerprint)
    SELECT {}, $1, {}::uuid, {} FROM moved
)"""
_OPENED = """, opened AS (
    INSERT INTO turns (id, session_id, message_sequence, requested_sequence)
    SELECT {}::uuid, $1, {}::int, {}::int FROM moved
)"""
_CANCELLED = """, cancelled AS (
    UPDATE turns SET cancel_requested = true FROM moved WHERE turns.id = {}
)"""
_ENDED = """, ended AS (
    UPDATE turns SET ended_sequence = {1} FROM moved WHERE turns.id = {0}
)"""


class _Statement:
    """The one statement of an append, of the parts that it needs."""

    def __init__(self, first: str, *values: object) -> None:
        self._text, self.values = first, [*values]

    def add(self, part: str, *values: object) -> None:
        """`{}` in the part stands for the number of the value's parameter."""
        first = len(self.values) + 1
        self._text += part.format(*(f"${first + place}" for place in range(len(values))))
        self.values += values

    @property
    def text(self) -> str:
        return self._text + " SELECT EXISTS (SELECT FROM moved)"


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
        while session is None or session.version < row["version"]:
            session = fold(await self._next_events(session_id, session), session)
        self._keep(session)
        return Held(session, key)

    async def events_at(self, session_id: UUID, sequences: Collection[int]) -> list[Event]:
        rows = await self._pool.fetch(
            "SELECT * FROM events WHERE session_id = $1 AND sequence = ANY($2) ORDER BY sequence",
            session_id,
            [*sequences],
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
        statement = self._statement(held, events, key, remember)
        try:
            stored = await self._pool.fetchval(statement.text, *statement.values)
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

    async def _next_events(self, session_id: UUID, session: Session | None) -> list[Event]:
        rows = await self._pool.fetch(
            """
            SELECT * FROM events WHERE session_id = $1 AND sequence > $2
            ORDER BY sequence LIMIT $3
            """,
            session_id,
            session.version if session else 0,
            _EVENTS_AT_ONCE,
        )
        if not rows:
            raise BrokenStream(f"events of session {session_id} are missing")
        return [event_of(row) for row in rows]

    def _statement(
        self,
        held: Held | None,
        events: Sequence[Event],
        key: DataKey,
        remember: Remembered | None,
    ) -> _Statement:
        values = [encode(event).value for event in events]
        rows = _rows(events, values)
        if held is None:
            started, session_id = events[0].data, events[0].session_id
            assert isinstance(started, SessionStarted)
            owner = (started.tenant, started.owner, started.assistant_id)
            wrapped = self._master_keys.wrap(key, session_id)
            statement = _Statement(_STARTED, *rows, *owner, wrapped)
        else:
            statement = _Statement(_MOVED, *rows, held.session.version)
        traces = [event.traceparent for event in events]
        statement.add(_STORED, traces, [len(value) for value in values])
        _add_turn_change(statement, events)
        if remember is not None:
            known = (remember.request, remember.turn_id, remember.fingerprint)
            statement.add(_REMEMBERED, *known)
        return statement

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


def _rows(events: Sequence[Event], values: Sequence[bytes]) -> list[object]:
    last = events[-1]
    return [
        last.session_id,
        last.sequence,
        last.time,
        [event.sequence for event in events],
        [event.id for event in events],
        [event.type for event in events],
        [event.time for event in events],
        [value.decode() for value in values],
    ]


def _add_turn_change(statement: _Statement, events: Sequence[Event]) -> None:
    message = None
    for event in events:
        match event.data:
            case MessageSubmitted():
                message = event.sequence
            case ReplyRequested(turn_id=turn_id):
                statement.add(_OPENED, turn_id, message, event.sequence)
            case CancelRequested(turn_id=turn_id):
                statement.add(_CANCELLED, turn_id)
            case ReplyEnded(turn_id=turn_id):
                statement.add(_ENDED, turn_id, event.sequence)
            case _:
                pass
