"""Decoding of events as other clients deliver them."""

import json

import pytest

from parley_events.asyncapi.streams import STREAMS
from parley_events.cloudevents import UndecodableRecord, decode
from parley_events.event_decoders import (
    decode_api_key,
    decode_assistant,
    decode_audit,
    decode_json_event,
    record_from,
)
from parley_events.golden import golden, golden_record

SESSIONS, ASSISTANTS, API_KEYS, AUDIT = STREAMS


@pytest.mark.parametrize("event_type", SESSIONS.data_by_type)
def test_a_message_of_any_client_decodes_like_the_record(event_type: str) -> None:
    record = golden_record(event_type)
    for headers in (dict(record.headers), tuple(record.headers)):
        assert decode(record_from(record.key, headers, record.value)) == decode(record)


def test_a_message_without_key_headers_or_value_is_undecodable() -> None:
    with pytest.raises(UndecodableRecord):
        decode(record_from(None, None, None))
    with pytest.raises(UndecodableRecord):
        decode(record_from(b"key", [("ce_id", None)], b"{}"))


@pytest.mark.parametrize("event_type", ASSISTANTS.data_by_type)
def test_assistant_events_decode_to_their_models(event_type: str) -> None:
    event = decode_assistant(golden_record(event_type))
    assert isinstance(event.data, ASSISTANTS.data_by_type[event_type])


@pytest.mark.parametrize("event_type", API_KEYS.data_by_type)
def test_api_key_events_decode_to_their_models(event_type: str) -> None:
    event = decode_api_key(golden_record(event_type))
    assert isinstance(event.data, API_KEYS.data_by_type[event_type])


@pytest.mark.parametrize("event_type", AUDIT.data_by_type)
def test_audit_records_decode_to_their_model(event_type: str) -> None:
    assert isinstance(decode_audit(golden_record(event_type)), AUDIT.data_by_type[event_type])


def test_an_audit_record_of_a_later_type_is_tolerated() -> None:
    assert decode_audit(golden_record("parley.session.session_erased.v1")) is None


@pytest.mark.parametrize("event_type", SESSIONS.data_by_type)
def test_a_cloudevent_in_json_decodes_like_the_record(event_type: str) -> None:
    stored = golden(event_type)
    headers = {
        name.removeprefix("ce_"): value
        for name, value in stored["headers"].items()
        if name.startswith("ce_") or name == "traceparent"
    }
    line = json.dumps(headers | {"data": stored["value"]})
    assert decode_json_event(line) == decode(golden_record(event_type))


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"data": 1}', "null"])
def test_a_line_that_is_no_cloudevent_is_undecodable(line: str) -> None:
    with pytest.raises(UndecodableRecord):
        decode_json_event(line)
