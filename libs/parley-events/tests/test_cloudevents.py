import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.cloudevents import (
    MAX_ENCODED_BYTES,
    EventTooLarge,
    Record,
    UndecodableRecord,
    decode,
    encode,
)
from parley_events.golden import golden_record, golden_types
from parley_events.session import (
    DATA_BY_TYPE,
    Event,
    MessageImported,
    MessageSubmitted,
    UnknownEvent,
)
from parley_events.values import Actor

SESSION = UUID("0199c0de-0000-7000-8000-000000000001")


def without(record: Record, name: str) -> Record:
    return replace(record, headers=[(n, v) for n, v in record.headers if n != name])


def with_header(record: Record, name: str, value: bytes) -> Record:
    return replace(record, headers=[*without(record, name).headers, (name, value)])


def submitted(content: bytes) -> Event:
    return Event(
        id=UUID("0199c0de-0000-7000-8000-000000000002"),
        session_id=SESSION,
        sequence=1,
        time=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
        data=MessageSubmitted(
            actor=Actor(tenant="default", user="ada"),
            request_id="r1",
            message_id=UUID("0199c0de-0000-7000-8000-000000000003"),
            parent_message_id=None,
            content=content,
        ),
    )


@pytest.mark.parametrize("event_type", DATA_BY_TYPE)
def test_golden_record_of_every_published_type_decodes_and_encodes_to_itself(
    event_type: str,
) -> None:
    record = golden_record(event_type)

    event = decode(record)

    assert isinstance(event.data, DATA_BY_TYPE[event_type])
    again = encode(event)
    assert (again.key, dict(again.headers)) == (record.key, dict(record.headers))
    assert json.loads(again.value) == json.loads(record.value)


def test_an_imported_message_without_the_fields_of_a_reply_encodes_to_itself() -> None:
    record = golden_record(MessageImported.TYPE)
    fields = ("status", "model", "finish_reason", "usage", "error_code")
    value = {k: v for k, v in json.loads(record.value).items() if k not in fields}
    event = decode(replace(record, value=json.dumps(value).encode()))
    assert isinstance(event.data, MessageImported)
    assert event.data.status is None
    assert json.loads(encode(event).value) == value


def test_every_golden_file_belongs_to_a_known_type() -> None:
    assert golden_types() == {*ALL_DATA_BY_TYPE}


def test_ciphertext_bytes_survive_encoding_and_decoding() -> None:
    event = submitted(bytes(range(256)))
    assert decode(encode(event)) == event


def test_an_unknown_type_is_preserved_completely() -> None:
    record = with_header(encode(submitted(b"x")), "ce_type", b"parley.session.from_the_future.v9")
    event = decode(record)
    assert isinstance(event.data, UnknownEvent)
    assert json.loads(encode(event).value) == json.loads(record.value)


def test_an_unknown_field_of_a_known_type_is_preserved() -> None:
    record = encode(submitted(b"x"))
    grown = {**json.loads(record.value), "mood": "curious"}
    event = decode(replace(record, value=json.dumps(grown).encode()))
    assert json.loads(encode(event).value) == grown


@pytest.mark.parametrize(
    "name", ["ce_specversion", "ce_id", "ce_type", "ce_subject", "ce_time", "ce_sequence"]
)
def test_the_error_of_a_missing_header_names_it(name: str) -> None:
    with pytest.raises(UndecodableRecord, match=name):
        decode(without(encode(submitted(b"x")), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_id", b"7"),
        ("ce_sequence", b"0"),
        ("ce_sequence", b"many"),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-11-24T12:00:00"),
        ("ce_type", b"\xff"),
        ("ce_specversion", b"0.3"),
    ],
)
def test_a_record_with_an_invalid_header_is_rejected(name: str, value: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        decode(with_header(encode(submitted(b"x")), name, value))


def test_a_record_under_another_key_than_its_subject_is_rejected() -> None:
    with pytest.raises(UndecodableRecord, match="key"):
        decode(replace(encode(submitted(b"x")), key=b"elsewhere"))


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"content":"secret text"}'])
def test_an_invalid_value_is_rejected_without_quoting_it(value: bytes) -> None:
    with pytest.raises(UndecodableRecord) as refused:
        decode(replace(encode(submitted(b"x")), value=value))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", [b'{"a":' * 100_000, '{"a":1}'.encode("utf-16"), b"[]"])
def test_a_value_of_an_unknown_type_that_is_no_utf_8_object_is_rejected(value: bytes) -> None:
    record = with_header(encode(submitted(b"x")), "ce_type", b"parley.session.something_new.v1")
    with pytest.raises(UndecodableRecord):
        decode(replace(record, value=value))


def test_an_oversized_event_is_rejected_by_encode() -> None:
    with pytest.raises(EventTooLarge, match=str(MAX_ENCODED_BYTES)):
        encode(submitted(b"x" * MAX_ENCODED_BYTES))
