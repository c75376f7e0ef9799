"""The form of an event in the log: CloudEvents 1.0, Kafka protocol binding, binary mode.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from uuid import UUID

from pydantic import ValidationError

from parley_events.session import DATA_BY_TYPE, Event, KnownEventData, UnknownEvent
from parley_events.values import Value

MAX_ENCODED_BYTES = 768 * 1024
SOURCE = "/parley/session"

_REQUIRED = itemgetter("ce_type", "ce_specversion", "ce_subject", "ce_sequence", "ce_time", "ce_id")

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """What Kafka keeps of an event. Its key is its stream: a session stays in one partition."""

    key: bytes
    headers: Headers
    value: bytes


class UndecodableRecord(Exception):
    """The record can never be read as an event of a session."""


class EventTooLarge(Exception):
    """The encoded event passes 768 KiB, the most that a record in the log may have."""


def encode(event: Event) -> Record:
    """Return the record of `event`. Raises `EventTooLarge`."""
    if isinstance(event.data, UnknownEvent):
        value = json.dumps(event.data.data, separators=(",", ":"), ensure_ascii=False).encode()
    else:
        value = encode_data(event.data)
    record = record_of(
        subject=event.session_id,
        event_id=event.id,
        type=event.type,
        sequence=event.sequence,
        time=event.time,
        traceparent=event.traceparent,
        value=value,
    )
    size = len(record.key) + len(value) + sum(len(n) + len(v) for n, v in record.headers)
    if size > MAX_ENCODED_BYTES:
        raise EventTooLarge(f"the event has {size} bytes, {MAX_ENCODED_BYTES} are allowed")
    return record


def encode_data(data: Value) -> bytes:
    """The value of a record, from the data of an event of a known type."""
    return data.model_dump_json(exclude_none=True).encode()


def record_of(
    *,
    subject: UUID,
    event_id: UUID,
    type: str,
    sequence: int,
    time: datetime,
    traceparent: str | None,
    value: bytes,
) -> Record:
    """The record of an event whose data is encoded already; its key is its subject."""
    key = str(subject)
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(event_id),
        "ce_type": type,
        "ce_source": SOURCE,
        "ce_subject": key,
        "ce_time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "ce_sequence": str(sequence),
        "content-type": "application/json",
    }
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return Record(
        key=key.encode(),
        headers=[(name, text.encode()) for name, text in headers.items()],
        value=value,
    )


def decode(record: Record) -> Event:
    """Return the event in `record`; an unknown type becomes an `UnknownEvent`.

    Raises `UndecodableRecord` when a required header is missing or wrong, when key and subject
    differ, or when the value is not the JSON of its type.
    """
    headers = dict(record.headers)
    try:
        event_type, version, subject, sequence, time, event_id = _REQUIRED(headers)
        if version != b"1.0":
            raise UndecodableRecord("ce_specversion is not 1.0")
        if record.key != subject:
            raise UndecodableRecord("the key is not the ce_subject")
        if (place := int(sequence)) < 1:
            raise UndecodableRecord("ce_sequence is below 1")
        moment = datetime.fromisoformat(time.decode())
        if moment.tzinfo is None:
            raise UndecodableRecord("ce_time has no offset from UTC")
        return Event(
            id=UUID(event_id.decode()),
            session_id=_session_id(subject),
            sequence=place,
            time=moment.astimezone(UTC),
            data=decode_data(event_type.decode(), record.value),
            traceparent=headers["traceparent"].decode() if "traceparent" in headers else None,
        )
    except KeyError as missing:
        raise UndecodableRecord(f"the header {missing.args[0]} is missing") from None
    except ValidationError as error:
        # Pydantic would quote the input: an error names the fields, never their content.
        fields = ", ".join(".".join(map(str, e["loc"])) or "the value" for e in error.errors())
        raise UndecodableRecord(f"not the data of its type: {fields}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise UndecodableRecord(f"malformed: {type(error).__name__}") from None


def decode_data(event_type: str, value: bytes) -> KnownEventData | UnknownEvent:
    """Return the data of an event of that type. Raises ValueError when the value is not it."""
    known = DATA_BY_TYPE.get(event_type)
    if known is None:
        # Decoded first: from bytes it would take UTF-16 and UTF-32 too, which is no JSON here.
        return UnknownEvent(type=event_type, data=json.loads(value.decode()))
    return known.model_validate_json(value)


@lru_cache(maxsize=10_000)
def _session_id(subject: bytes) -> UUID:
    # Kept, since the events of a session come together and reading an id is no small part of it.
    return UUID(subject.decode())
