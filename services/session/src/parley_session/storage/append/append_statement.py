"""Builds the SQL statement of an append from common table expressions.

Every expression but the first reads from the row that the compare-and-set returned, so that
nothing is stored when the session was at another version (docs/adr/0001).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from parley_events.audit import AuditData
from parley_events.cloudevents import encode, encode_data
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
from parley_session.storage.append.append_condition import (
    AppendCondition,
    WithinLimits,
    check_of,
)
from parley_session.storage.append.counted_usage import (
    UsageCounted,
    add_counted_usage,
    ended_expression,
)
from parley_session.storage.append.statement import Statement
from parley_session.storage.session_columns import session_column_changes

CANCEL_CHANNEL = "session_cancels"
"""Its notifications name the runner of a turn that was cancelled."""

_STARTED = """
WITH advanced AS (
    INSERT INTO sessions (id, version, updated_at, tenant, owner, assistant_id, {columns})
    VALUES ($1, $2, $3, $9, $10, $11, {parameters})
    ON CONFLICT DO NOTHING
    RETURNING id
)"""
_ADVANCED = """
WITH {preconditions}advanced AS (
    UPDATE sessions SET version = $2, updated_at = $3{changes}
    WHERE id = $1 AND version = $9{conditions}
    RETURNING id
)"""
_STORED = """, stored AS (
    INSERT INTO events (session_id, sequence, id, type, time, data, traceparent)
    SELECT $1, new.* FROM advanced,
        unnest($4::int[], $5::uuid[], $6::text[], $7::timestamptz[], $8::json[], {}::text[]) AS new
)"""
_QUEUED = """, queued AS (
    INSERT INTO outbox (session_id, sequence, bytes)
    SELECT $1, new.sequence, new.bytes FROM advanced, unnest($4::int[], {}::int[])
        AS new (sequence, bytes) ORDER BY new.sequence
)"""
_REMEMBERED = """, remembered AS (
    INSERT INTO remembered_requests (request, session_id, turn_id, fingerprint, answer)
    SELECT {}, $1, {}::uuid, {}, {}::bytea FROM advanced
)"""
_FORGOTTEN = """, forgotten AS (
    DELETE FROM remembered_requests USING advanced WHERE session_id = advanced.id
)"""
_OPENED = """, opened AS (
    INSERT INTO turns (id, session_id, message_sequence, requested_sequence, subjects)
    SELECT {}::uuid, $1, {}::int, {}::int, {}::text[] FROM advanced
)"""
# The runner learns of it at once. Only this statement notifies: a commit that does takes a lock
# that all such commits share.
_CANCELLED = f""", cancelled AS (
    UPDATE turns SET cancel_requested = true FROM advanced WHERE turns.id = {{}}
    RETURNING pg_notify('{CANCEL_CHANNEL}', coalesce(runner::text, ''))
)"""
# Last: the end of the chain stays locked until the commit.
_AUDITED = """, audited AS (
    SELECT append_audit_record(new.data, {}) AS sequence
    FROM advanced, unnest({}::text[]) AS new (data)
)"""
# A function in an expression that nothing reads would not be called.
_AUDITED_READ = ", (SELECT count(sequence) FROM audited)"


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """A committed request with an Idempotency-Key: digest, keyed fingerprint and result ids.

    `answer` is the sealed response, where it cannot be read from the session.
    """

    request: bytes
    fingerprint: bytes
    session_id: UUID
    turn_id: UUID | None = None
    answer: bytes | None = None


def append_statement(
    events: Sequence[Event],
    version: int,
    *,
    wrapped_key: bytes | None,
    idempotency_record: IdempotencyRecord | None,
    message_sequences: Mapping[UUID, int],
    condition: AppendCondition | None = None,
    usage_counted: UsageCounted = "nothing",
    completion_subjects: Sequence[str] = (),
    newest_turn_id: UUID | None = None,
    audited: Sequence[AuditData] = (),
) -> Statement:
    """Append events that follow `version`, and queue them in the outbox.

    `wrapped_key` is that of a new session. `message_sequences` holds the earlier messages that
    the events reply to. `usage_counted` of a reply counts towards the limits of its person; that of
    a completion without a session counts to `completion_subjects`, and that of a title or summary
    as the turn `newest_turn_id` does. `audited` are records of the audit trail, in the same commit.
    Raises EventTooLarge.
    """
    values = [encode(event).value for event in events]
    statement = _stored(events, values, version, wrapped_key, condition, completion_subjects)
    sizes = [len(value) for value in values]
    statement.event_bytes = sum(sizes)
    statement.add(_QUEUED, sizes)
    subjects = condition.counted.subjects if isinstance(condition, WithinLimits) else None
    _add_turn_change(statement, events, message_sequences, subjects, usage_counted)
    add_counted_usage(
        statement,
        events,
        usage_counted,
        completion_subjects=completion_subjects,
        newest_turn_id=newest_turn_id,
    )
    if idempotency_record is not None:
        record = idempotency_record
        result = (record.turn_id, record.fingerprint, record.answer)
        statement.add(_REMEMBERED, record.request, *result)
    if audited:
        records = [encode_data(each).decode() for each in audited]
        statement.add(_AUDITED, events[-1].traceparent, records)
        statement.read(_AUDITED_READ)
    return statement


def recovery_statement(
    events: Sequence[Event],
    values: Sequence[bytes],
    version: int,
    message_sequences: Mapping[UUID, int],
) -> Statement:
    """Append events recovered from the log, byte for byte, without queueing them.

    A session that is new to the store gets no key: its content stays unreadable. At most one of
    the events may change a turn.
    """
    statement = _stored(events, values, version, None, None)
    _add_turn_change(statement, events, message_sequences)
    return statement


def _stored(
    events: Sequence[Event],
    values: Sequence[bytes],
    version: int,
    wrapped_key: bytes | None,
    condition: AppendCondition | None,
    completion_subjects: Sequence[str] = (),
) -> Statement:
    rows = _rows(events, values)
    started = events[0].data
    columns = session_column_changes(events)
    if isinstance(started, SessionStarted | CompletionServed):
        assistant_id = started.assistant_id if isinstance(started, SessionStarted) else None
        owner = (started.tenant, started.owner, assistant_id)
        new_columns: dict[str, object] = {"wrapped_key": wrapped_key} | columns
        if completion_subjects:
            new_columns["completion_subjects"] = completion_subjects
        statement = _started(new_columns, *rows, *owner)
    else:
        statement = _advanced(columns, condition, *rows, version)
    statement.add(_STORED, [event.traceparent for event in events])
    if isinstance(events[-1].data, SessionErased):
        statement.add(_FORGOTTEN)
    return statement


def _started(columns: Mapping[str, object], *values: object) -> Statement:
    parameters = ", ".join(f"${len(values) + index}" for index in range(1, len(columns) + 1))
    expression = _STARTED.format(columns=", ".join(columns), parameters=parameters)
    return Statement(expression, *values, *columns.values())


def _advanced(
    columns: Mapping[str, object], condition: AppendCondition | None, *values: object
) -> Statement:
    checked = check_of(condition)
    values = (*values, *checked.values)
    numbered = enumerate(columns, start=len(values) + 1)
    changes = "".join(f", {name} = ${number}" for number, name in numbered)
    text = _ADVANCED.format(
        preconditions=checked.expressions, changes=changes, conditions=checked.condition
    )
    statement = Statement(text, *values, *columns.values())
    statement.read(checked.columns)
    return statement


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
    statement: Statement,
    events: Sequence[Event],
    message_sequences: Mapping[UUID, int],
    subjects: Sequence[str] | None = None,
    usage_counted: UsageCounted = "nothing",
) -> None:
    sequences = dict(message_sequences)
    cancelled = any(isinstance(event.data, CancelRequested) for event in events)
    ended = any(isinstance(event.data, ReplyEnded) for event in events)
    for event in events:
        match event.data:
            case MessageSubmitted(message_id=message_id) | MessageImported(message_id=message_id):
                sequences[message_id] = event.sequence
            case ReplyRequested(turn_id=turn_id, parent_message_id=message_id):
                statement.add(_OPENED, turn_id, sequences[message_id], event.sequence, subjects)
            # One statement cannot change a row twice.
            case CancelRequested(turn_id=turn_id) if not ended:
                statement.add(_CANCELLED, turn_id)
            case ReplyEnded(turn_id=turn_id):
                expression = ended_expression(events, usage_counted)
                statement.add(expression, turn_id, event.sequence, cancelled)
            case _:
                pass
