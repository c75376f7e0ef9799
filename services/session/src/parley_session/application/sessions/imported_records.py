"""Sorts the records of an import: those that are new, those that exist, and those that are bad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import UNSET

from parley_contracts.api_models import Message
from parley_contracts.session_api.imports import BadRecord
from parley_contracts.session_api.imports import ImportedMessage as GivenMessage
from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES, MAX_REPLY_BYTES
from parley_events.cloudevents import MAX_ENCODED_BYTES
from parley_session.application.sessions.imported_message_ids import message_ids
from parley_session.application.token_counter import count_tokens
from parley_session.domain.session.commands import ImportedMessage
from parley_session.domain.session.state import Session
from parley_session.storage.event_store import LoadedSession

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_LEEWAY = timedelta(seconds=60)
# An event holds its content as JSON, sealed and in base64; 8 KiB are enough for its other fields.
_MAX_JSON_BYTES = (MAX_ENCODED_BYTES - 8 * 1024) * 3 // 4
# What sealing adds to the JSON of a text, in which a byte takes at most six.
_SEALING_BYTES = 64

GivenRecord = GivenMessage | BadRecord
"""A record as it was decoded, or why it could not be."""


@dataclass(slots=True)
class SortedRecords:
    """`skipped` records exist already."""

    new: list[ImportedMessage] = field(default_factory=list)
    skipped: int = 0
    bad: list[BadRecord] = field(default_factory=list)


def comparable_ids(records: Sequence[GivenRecord], session: Session) -> set[UUID]:
    """Ids of stored messages that may equal the given ones, by their size.

    Comparing only those bounds what is read by the size of the request.
    """
    ids = set[UUID]()
    for record in records:
        if isinstance(record, GivenMessage) and record.id:
            node = session.messages.get(record.id)
            if node and node.sealed_bytes <= 6 * len(record.content.encode()) + _SEALING_BYTES:
                ids.add(record.id)
    return ids


def sort_records(
    records: Sequence[GivenRecord],
    owned: LoadedSession,
    existing: Mapping[UUID, Message],
    *,
    model: str,
    now: datetime,
) -> SortedRecords:
    """Sort the records. `existing` are the stored messages with the `comparable_ids`.

    A record that follows a bad one is bad as well: below another parent it would change its
    meaning. Takes a tenth of a second for a thousand long texts, whose tokens are counted.
    """
    done, session = SortedRecords(), owned.session
    given, good = dict[int, GivenMessage](), list[int]()
    accepted, rejected = set[UUID](), set[UUID]()
    for index, record in enumerate(records):
        if isinstance(record, BadRecord):
            done.bad.append(record)
            continue
        problem = _value_problem(record, now)
        if problem is None:
            given[index] = record
            problem = _id_problem(record, session, existing, accepted) or _parent_problem(
                record, session, accepted, rejected
            )
        if problem is None:
            good.append(index)
        else:
            param, code, reason = problem
            done.bad.append(BadRecord(index, f"messages.{index}.{param}", code, reason))
        if record.id:
            (rejected if problem else accepted).add(record.id)
    ids = message_ids(given, good, session, owned.key)
    done.new = [
        _command(given[index], message_id, model, now)
        for index, message_id in zip(good, ids, strict=True)
        if message_id not in session.messages
    ]
    done.skipped = len(good) - len(done.new)
    return done


_Problem = tuple[str, str, str] | None
"""Field, code and reason."""


def _value_problem(record: GivenMessage, now: datetime) -> _Problem:
    created_at, is_reply = record.created_at, record.role == "assistant"
    if created_at and not EARLIEST <= created_at <= now + CLOCK_LEEWAY:
        reason = f"`created_at` must be between {EARLIEST:%Y} and now."
        return "created_at", "invalid_request", reason
    if not is_reply and (name := _reply_field(record)):
        return name, "invalid_request", "Only a message with the role assistant has this field."
    if not record.content and record.status == "completed":
        return "content", "invalid_request", "Only a failed or cancelled reply may be empty."
    limit = MAX_REPLY_BYTES if is_reply else MAX_MESSAGE_BYTES
    if len(record.content.encode()) > limit:
        kind = "reply" if is_reply else "message"
        reason = f"A {kind} has at most {limit} bytes of UTF-8."
        return "content", "message_too_large", reason
    if len(msgspec.json.encode(record.content)) > _MAX_JSON_BYTES:
        reason = f"A message has at most {_MAX_JSON_BYTES} bytes as a JSON text."
        return "content", "message_too_large", reason
    return None


def _reply_field(record: GivenMessage) -> str | None:
    if record.status != "completed":
        return "status"
    names = ("model", "finish_reason", "usage", "error_code")
    return next((name for name in names if getattr(record, name) is not None), None)


def _id_problem(
    record: GivenMessage,
    session: Session,
    existing: Mapping[UUID, Message],
    accepted: set[UUID],
) -> _Problem:
    if record.id is None:
        return None
    if record.id in accepted:
        return "id", "invalid_request", "An earlier message of this call has the same id."
    stored = existing.get(record.id)
    is_message = record.id in session.messages
    if record.id in session.ended_turns or (is_message and _differs(record, stored)):
        reason = f"The session uses the id {record.id} for something else."
        return "id", "message_id_conflict", reason
    return None


def _differs(given: GivenMessage, stored: Message | None) -> bool:
    if stored is None:
        return True
    parent_id = given.parent_message_id
    if parent_id is not UNSET and parent_id != stored.parent_message_id:
        return True
    return (given.role, given.content, given.status) != (stored.role, stored.content, stored.status)


def _parent_problem(
    record: GivenMessage, session: Session, accepted: set[UUID], rejected: set[UUID]
) -> _Problem:
    parent_id = record.parent_message_id
    if parent_id is UNSET or parent_id is None or parent_id in accepted:
        return None
    if parent_id in rejected:
        reason = "The message that it follows is not imported."
    elif parent_id not in session.messages:
        reason = "Neither the session nor an earlier message of this call has this id."
    else:
        return None
    return "parent_message_id", "invalid_request", reason


def _command(record: GivenMessage, message_id: UUID, model: str, now: datetime) -> ImportedMessage:
    parent_id = record.parent_message_id
    return ImportedMessage(
        message_id,
        record.role,
        record.content,
        record.created_at or now,
        count_tokens(model, record.content),
        parent_message_id=None if parent_id is UNSET else parent_id,
        as_root=parent_id is None,
        status=record.status,
        model=record.model,
        finish_reason=record.finish_reason,
        usage=record.usage.to_usage() if record.usage else None,
        error_code=record.error_code,
    )
