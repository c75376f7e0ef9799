"""Decoding of events as other clients deliver them: any Kafka client, or CloudEvents in JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from parley_events.api_key import API_KEY_DATA_BY_TYPE, ApiKeyEvent
from parley_events.assistant import ASSISTANT_DATA_BY_TYPE, AssistantEvent
from parley_events.audit import AuditRecorded
from parley_events.cloudevents import Record, UndecodableRecord, decode, invalid_fields
from parley_events.session import Event
from parley_events.values import Value

AnyHeaders = Mapping[str, bytes] | Iterable[tuple[str, bytes | None]] | None


def record_from(key: bytes | None, headers: AnyHeaders, value: bytes | None) -> Record:
    """Return the record of a message of any Kafka client, which may have no key or headers."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return Record(key or b"", [(name, each or b"") for name, each in pairs], value or b"")


def decode_assistant(record: Record) -> AssistantEvent:
    """Return the event in a record of the `assistant` stream. Raises UndecodableRecord."""
    event = decode(record)
    data = _data_of(event, record, ASSISTANT_DATA_BY_TYPE)
    return AssistantEvent(event.id, event.session_id, event.sequence, event.time, data)


def decode_api_key(record: Record) -> ApiKeyEvent:
    """Return the event in a record of the `api_key` stream. Raises UndecodableRecord."""
    event = decode(record)
    data = _data_of(event, record, API_KEY_DATA_BY_TYPE)
    return ApiKeyEvent(event.id, event.session_id, event.sequence, event.time, data)


def decode_audit(record: Record) -> AuditRecorded | None:
    """Return the data of a record of the `audit` stream; None for an unknown type.

    Raises UndecodableRecord.
    """
    event = decode(record)
    if event.type != AuditRecorded.TYPE:
        return None
    data: AuditRecorded = _data_of(event, record, {AuditRecorded.TYPE: AuditRecorded})
    return data


def _data_of(event: Event, record: Record, data_by_type: Mapping[str, type[Value]]) -> Any:
    """The data of a known type, or the UnknownEvent as which it was decoded."""
    known = data_by_type.get(event.type)
    if known is None:
        return event.data
    try:
        return known.model_validate_json(record.value)
    except ValidationError as error:
        raise UndecodableRecord(f"invalid data for its type: {invalid_fields(error)}") from None


def decode_json_event(line: str | bytes) -> Event:
    """Return the session event in a CloudEvent in JSON format.

    `parley log tail --json` and `parley log export --format ndjson` write one per line.
    Raises UndecodableRecord.
    """
    try:
        attributes = json.loads(line)
        data = json.dumps(attributes["data"], ensure_ascii=False).encode()
        subject = str(attributes["subject"])
        headers = {
            "ce_specversion": attributes["specversion"],
            "ce_id": attributes["id"],
            "ce_type": attributes["type"],
            "ce_subject": subject,
            "ce_sequence": attributes["sequence"],
            "ce_time": attributes["time"],
        }
        if "traceparent" in attributes:
            headers["traceparent"] = attributes["traceparent"]
    except (ValueError, KeyError, TypeError) as error:
        raise UndecodableRecord(f"not a CloudEvent in JSON: {type(error).__name__}") from None
    encoded = [(name, str(value).encode()) for name, value in headers.items()]
    return decode(Record(subject.encode(), encoded, data))
