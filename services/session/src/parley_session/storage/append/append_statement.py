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
from parley_events.values import Usage
from parley_session.storage.append.append_condition import (
    AppendCondition,
    WithinLimits,
    check_of,
)
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
_ENDED = """, ended AS (
    UPDATE turns SET ended_sequence = {1}, cancel_requested = cancel_requested OR {2}
    FROM advanced WHERE turns.id = {0}
    RETURNING subjects
)"""
_TOKENS_COUNTED = """, tokens_counted AS (
    SELECT count_tokens(tenant, subjects, {}) FROM ended, sessions
    WHERE sessions.id = $1 AND subjects IS NOT NULL
)"""
_COMPLETION_COUNTED = """, tokens_counted AS (
    SELECT count_tokens($9, {}, {}) FROM advanced
)"""
# Last: the end of the chain stays locked until the commit.
_AUDITED = """, audited AS (
    SELECT append_audit_record(new.data, {}) AS sequence
    FROM advanced, unnest({}::text[]) AS new (data)
)"""
# A function in an expression that nothing reads would not be called.
_AUDITED_READ = ", (SELECT count(sequence) FROM audited)"
_TOKENS_READ = ", (SELECT count(*) FROM tokens_counted)"


class Statement:
    """SQL text and parameters; the result says whether the session was at the expected version.

    With the condition WithinLimits, its second column is the result of count_turn.
    """

    def __init__(self, first_expression: str, *values: object) -> None:
        self._text, self.values = first_expression, [*values]
        self._more_columns = ""
        self.event_bytes = 0

    def add(self, expression: str, *values: object) -> None:
        """Each `{}` in the expression becomes the parameter of the next value."""
        first = len(self.values) + 1
        self._text += expression.format(*(f"${first + index}" for index in range(len(values))))
        self.values += values

    def read(self, column: str) -> None:
        """Add a column to the result."""
        self._more_columns += column

    @property
    def text(self) -> str:
        return f"{self._text} SELECT EXISTS (SELECT FROM advanced){self._more_columns}"


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
    counts_tokens: bool = False,
    completion_subjects: Sequence[str] = (),
    audited: Sequence[AuditData] = (),
) -> Statement:
    """Append events that follow `version`, and queue them in the outbox.

    `wrapped_key` is that of a new session. `message_sequences` holds the earlier messages that
    the events reply to. With `counts_tokens` those of a reply count towards the limits of its
    person; those of a completion without a session count to `completion_subjects`. `audited` are
    records of the audit trail, in the same commit. Raises EventTooLarge.
    """
    values = [encode(event).value for event in events]
    statement = _stored(events, values, version, wrapped_key, condition)
    sizes = [len(value) for value in values]
    statement.event_bytes = sum(sizes)
    statement.add(_QUEUED, sizes)
    subjects = condition.counted.subjects if isinstance(condition, WithinLimits) else None
    _add_turn_change(statement, events, message_sequences, subjects)
    if counts_tokens:
        _add_counted_tokens(statement, events[-1], completion_subjects)
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
) -> Statement:
    rows = _rows(events, values)
    started = events[0].data
    columns = session_column_changes(events)
    if isinstance(started, SessionStarted | CompletionServed):
        assistant_id = started.assistant_id if isinstance(started, SessionStarted) else None
        owner = (started.tenant, started.owner, assistant_id)
        statement = _started({"wrapped_key": wrapped_key} | columns, *rows, *owner)
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
    statement.read(checked.column)
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
                statement.add(_ENDED, turn_id, event.sequence, cancelled)
            case _:
                pass


def _add_counted_tokens(
    statement: Statement, last: Event, completion_subjects: Sequence[str]
) -> None:
    match last.data:
        case ReplyEnded(usage=Usage() as usage):
            statement.add(_TOKENS_COUNTED, usage.prompt_tokens + usage.completion_tokens)
        case CompletionServed(usage=usage) if completion_subjects:
            tokens = usage.prompt_tokens + usage.completion_tokens
            statement.add(_COMPLETION_COUNTED, completion_subjects, tokens)
        case _:
            return
    statement.read(_TOKENS_READ)
