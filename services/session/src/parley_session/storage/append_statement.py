"""The one statement of an append, joined from the parts that it needs.

All parts but the first hang on the row that the compare-and-set returned (docs/adr/0001).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_events.cloudevents import encode
from parley_events.session import (
    CancelRequested,
    CompletionServed,
    Event,
    MessageImported,
    MessageSubmitted,
    ReplyEnded,
    ReplyRequested,
    SessionErased,
    SessionStarted,
)
from parley_session.storage.session_columns import row_changes

_STARTED = """
WITH moved AS (
    INSERT INTO sessions (id, version, updated_at, tenant, owner, assistant_id, {columns})
    VALUES ($1, $2, $3, $9, $10, $11, {places})
    ON CONFLICT DO NOTHING
    RETURNING id
)"""
_MOVED = """
WITH moved AS (
    UPDATE sessions SET version = $2, updated_at = $3{changes}
    WHERE id = $1 AND version = $9
    RETURNING id
)"""
_STORED = """, stored AS (
    INSERT INTO events (session_id, sequence, id, type, time, data, traceparent)
    SELECT $1, new.* FROM moved,
        unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[], {}::text[]) AS new
)"""
_QUEUED = """, queued AS (
    INSERT INTO outbox (session_id, sequence, bytes)
    SELECT $1, new.sequence, new.bytes FROM moved, unnest($4::int[], {}::int[])
        AS new (sequence, bytes) ORDER BY new.sequence
)"""
_REMEMBERED = """, remembered AS (
    INSERT INTO remembered_requests (request, session_id, turn_id, fingerprint)
    SELECT {}, $1, {}::uuid, {} FROM moved
)"""
_FORGOTTEN = """, forgotten AS (
    DELETE FROM remembered_requests USING moved WHERE session_id = moved.id
)"""
_OPENED = """, opened AS (
    INSERT INTO turns (id, session_id, message_sequence, requested_sequence)
    SELECT {}::uuid, $1, {}::int, {}::int FROM moved
)"""
_CANCELLED = """, cancelled AS (
    UPDATE turns SET cancel_requested = true FROM moved WHERE turns.id = {}
)"""
_ENDED = """, ended AS (
    UPDATE turns SET ended_sequence = {1}, cancel_requested = cancel_requested OR {2}
    FROM moved WHERE turns.id = {0}
)"""


class Statement:
    """The one statement of an append, of the parts that it needs."""

    def __init__(self, first: str, *values: object) -> None:
        self._text, self.values = first, [*values]
        self.event_bytes = 0

    def add(self, part: str, *values: object) -> None:
        """`{}` in the part stands for the number of the value's parameter."""
        first = len(self.values) + 1
        self._text += part.format(*(f"${first + place}" for place in range(len(values))))
        self.values += values

    @property
    def text(self) -> str:
        return self._text + " SELECT EXISTS (SELECT FROM moved)"


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A request with an Idempotency-Key, kept with what it did; none of its text."""

    request: bytes
    fingerprint: bytes
    session_id: UUID
    turn_id: UUID | None = None


def append_statement(
    events: Sequence[Event],
    version: int,
    *,
    wrapped_key: bytes | None,
    remember: IdempotencyRecord | None,
    messages: Mapping[UUID, int],
) -> Statement:
    """Stores the events that follow `version`; of a new session with its wrapped key, if any.

    `messages` are the sequences of earlier ones that an event answers. It answers whether the
    session was at that version. Raises EventTooLarge.
    """
    values = [encode(event).value for event in events]
    statement = _stored(events, values, version, wrapped_key)
    sizes = [len(value) for value in values]
    statement.event_bytes = sum(sizes)
    statement.add(_QUEUED, sizes)
    _add_turn_change(statement, events, messages)
    if remember is not None:
        known = (remember.request, remember.turn_id, remember.fingerprint)
        statement.add(_REMEMBERED, *known)
    return statement


def taking_back_statement(
    events: Sequence[Event],
    values: Sequence[bytes],
    version: int,
    messages: Mapping[UUID, int],
) -> Statement:
    """Stores events that the log has, byte for byte, and queues nothing.

    `messages` are the sequences of earlier ones that an event answers. A session that is new here
    has no key: what was said in it cannot be read any more. At most one event changes a turn.
    """
    statement = _stored(events, values, version, None)
    _add_turn_change(statement, events, messages)
    return statement


def _stored(
    events: Sequence[Event], values: Sequence[bytes], version: int, wrapped_key: bytes | None
) -> Statement:
    rows = _rows(events, values)
    started = events[0].data
    changes = row_changes(events)
    if isinstance(started, SessionStarted | CompletionServed):
        assistant_id = started.assistant_id if isinstance(started, SessionStarted) else None
        owner = (started.tenant, started.owner, assistant_id)
        statement = _started({"wrapped_key": wrapped_key} | changes, *rows, *owner)
    else:
        statement = _moved(changes, *rows, version)
    statement.add(_STORED, [event.traceparent for event in events])
    if isinstance(events[-1].data, SessionErased):
        statement.add(_FORGOTTEN)
    return statement


def _started(columns: Mapping[str, object], *values: object) -> Statement:
    places = ", ".join(f"${len(values) + place}" for place in range(1, len(columns) + 1))
    first = _STARTED.format(columns=", ".join(columns), places=places)
    return Statement(first, *values, *columns.values())


def _moved(changes: Mapping[str, object], *values: object) -> Statement:
    placed = enumerate(changes, start=len(values) + 1)
    first = _MOVED.format(changes="".join(f", {name} = ${place}" for place, name in placed))
    return Statement(first, *values, *changes.values())


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


def _add_turn_change(
    statement: Statement, events: Sequence[Event], messages: Mapping[UUID, int]
) -> None:
    asked = dict(messages)
    cancelled = any(isinstance(event.data, CancelRequested) for event in events)
    ended = any(isinstance(event.data, ReplyEnded) for event in events)
    for event in events:
        match event.data:
            case MessageSubmitted(message_id=message_id) | MessageImported(message_id=message_id):
                asked[message_id] = event.sequence
            case ReplyRequested(turn_id=turn_id, parent_message_id=message_id):
                statement.add(_OPENED, turn_id, asked[message_id], event.sequence)
            # One statement cannot change a row twice.
            case CancelRequested(turn_id=turn_id) if not ended:
                statement.add(_CANCELLED, turn_id)
            case ReplyEnded(turn_id=turn_id):
                statement.add(_ENDED, turn_id, event.sequence, cancelled)
            case _:
                pass
