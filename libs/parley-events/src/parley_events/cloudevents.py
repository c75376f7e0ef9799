"""CloudEvents 1.0 encoding of events: Kafka protocol binding, binary mode.

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
    """A Kafka record. Its key is the ID of the stream, so a session stays in one partition."""

    key: bytes
    headers: Headers
    value: bytes

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context of the request, if any."""
        for name, value in reversed(self.headers):
            if name == "traceparent":
                return value.decode("ascii", errors="replace")
        return None


class UndecodableRecord(Exception):
    """The record is not a valid event of a session; retrying cannot help."""


class EventTooLarge(Exception):
    """The encoded event exceeds 768 KiB, the maximum size of a record in the log."""


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
    """Encode the data of a known event type as a record's value."""
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
    """Build the record of an event with encoded data; the key is the subject."""
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
        if (number := int(sequence)) < 1:
            raise UndecodableRecord("ce_sequence is below 1")
        timestamp = datetime.fromisoformat(time.decode())
        if timestamp.tzinfo is None:
            raise UndecodableRecord("ce_time has no offset from UTC")
        return Event(
            id=UUID(event_id.decode()),
            session_id=_session_id(subject),
            sequence=number,
            time=timestamp.astimezone(UTC),
            data=decode_data(event_type.decode(), record.value),
            traceparent=headers["traceparent"].decode() if "traceparent" in headers else None,
        )
    except KeyError as missing:
        raise UndecodableRecord(f"the header {missing.args[0]} is missing") from None
    except ValidationError as error:
        raise UndecodableRecord(f"invalid data for its type: {invalid_fields(error)}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise UndecodableRecord(f"malformed: {type(error).__name__}") from None


def decode_data(event_type: str, value: bytes) -> KnownEventData | UnknownEvent:
    """Decode the data of an event type; raises ValueError when the value does not match it."""
    known = DATA_BY_TYPE.get(event_type)
    if known is None:
        # Decoded as UTF-8 first: `json.loads` accepts UTF-16 and UTF-32 bytes too.
        return UnknownEvent(type=event_type, data=json.loads(value.decode()))
    return known.model_validate_json(value)


def invalid_fields(error: ValidationError) -> str:
    """The names of the fields; pydantic's message would quote their content."""
    return ", ".join(".".join(map(str, each["loc"])) or "the value" for each in error.errors())


@lru_cache(maxsize=10_000)
def _session_id(subject: bytes) -> UUID:
    # Cached: events of a session arrive together, and parsing the ID is a large part of decoding.
    return UUID(subject.decode())
