"""Tables of events: parsed by columns or decoded by the models, they are the same."""

from collections import defaultdict

import msgspec
import pytest

from parley_cli.log.dataset import event_tables as event_tables_module
from parley_cli.log.dataset.event_columns import event_schema
from parley_cli.log.dataset.event_tables import EventTable, by_type, event_table, event_tables
from parley_cli.log.dataset.raw_events import RawEvent, raw_events, raw_table
from parley_cli.log.generation.command import simulated_events
from parley_events.asyncapi.streams import ALL_DATA_BY_TYPE
from parley_events.cloudevents import encode
from parley_events.golden import golden_record

REPLY = "parley.session.reply_completed.v1"
SUBMITTED = "parley.session.message_submitted.v1"


def golden_event(event_type: str) -> RawEvent:
    return RawEvent.of(3, 17, golden_record(event_type))


def changed(event: RawEvent, **fields: object) -> RawEvent:
    value = msgspec.json.decode(event.value)
    value |= {name: field for name, field in fields.items() if field is not ...}
    for name in [name for name, field in fields.items() if field is ...]:
        del value[name]
    return event._replace(value=msgspec.json.encode(value))


def table_of(event_type: str, events: list[RawEvent]) -> EventTable:
    return event_table(event_type, raw_table(events))


def assert_both_ways_agree(event_type: str, events: list[RawEvent]) -> None:
    parsed = table_of(event_type, events)
    decoded = event_tables_module._decoded_table(event_type, events)
    assert not parsed.undecodable
    assert not decoded.undecodable
    assert parsed.table.to_pylist() == decoded.table.to_pylist()
    assert parsed.table.schema.equals(event_schema(event_type))


@pytest.mark.parametrize("event_type", ALL_DATA_BY_TYPE)
def test_parsing_and_decoding_agree_on_every_golden_record(event_type: str) -> None:
    assert_both_ways_agree(event_type, [golden_event(event_type)] * 3)


def test_parsing_and_decoding_agree_on_simulated_events() -> None:
    events = defaultdict[str, list[RawEvent]](list)
    for offset, (event, _) in enumerate(simulated_events(60, seed=9, days=3)):
        events[event.type].append(RawEvent.of(0, offset, encode(event)))
    for event_type, group in events.items():
        assert_both_ways_agree(event_type, group)


def test_a_default_that_is_not_written_is_filled_in() -> None:
    event = changed(golden_event(REPLY), usage={"prompt_tokens": 1, "completion_tokens": 2})
    [row] = table_of(REPLY, [event]).table.to_pylist()
    assert row["usage"]["estimated"] is False


def test_white_space_and_optional_fields_are_accepted() -> None:
    event = changed(golden_event(SUBMITTED), parent_message_id=None)
    spaced = event._replace(value=event.value.replace(b",", b",\n  "))
    assert len(table_of(SUBMITTED, [event, spaced]).table) == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"content": ...},
        {"content": 7},
        {"actor": None},
        {"actor": {"tenant": "default"}},
        {"message_id": "not a uuid"},
        {"tokens": 2**40},
        {"tokens": "many"},
    ],
    ids=str,
)
def test_a_value_that_its_model_rejects_is_left_out_and_its_neighbours_stay(
    broken: dict[str, object],
) -> None:
    event = golden_event(SUBMITTED)
    bad = changed(event, **broken)._replace(offset=18)
    result = table_of(SUBMITTED, [event, bad, event])
    assert [each.offset for each in result.undecodable] == [18]
    assert len(result.table) == len(result.raw) == 2


@pytest.mark.parametrize(
    "value", [b"", b"{}{}", b"[]", b"null", b" null", b"\xff", b"{} {}\n{}", b'{"a":"\xff"}']
)
def test_a_value_that_is_no_json_object_is_left_out(value: bytes) -> None:
    event = golden_event(SUBMITTED)
    result = table_of(SUBMITTED, [event._replace(value=value), event])
    assert len(result.undecodable) == 1
    assert len(result.table) == 1


def test_values_that_are_an_object_only_together_are_left_out() -> None:
    event = golden_event(REPLY)
    head, _, tail = event.value.partition(b'"usage":')
    parts = [head + b'"usage":', tail, event.value + event.value]
    events = [event._replace(value=value) for value in parts]
    result = table_of(REPLY, [*events, event])
    assert len(result.undecodable) == 3
    assert len(result.table) == 1


def test_an_event_whose_traceparent_is_no_text_is_left_out() -> None:
    event = golden_event(SUBMITTED)
    result = table_of(SUBMITTED, [event._replace(traceparent=b"\xff"), event])
    assert len(result.undecodable) == 1
    assert len(result.table) == 1


@pytest.mark.parametrize("content", ["Hello", 7], ids=["regular", "undecodable"])
def test_days_that_are_parsed_together_have_the_tables_of_each(content: object) -> None:
    event = golden_event(SUBMITTED)
    last = changed(event._replace(offset=20, time=b"2026-11-25T00:00:00.000000Z"), content=content)
    early = event._replace(offset=19, time=b"2026-11-23T12:00:00.000000Z")
    days = {
        "2026-11-23": [early],
        "2026-11-24": [event, event._replace(offset=18)],
        "2026-11-25": [last],
    }
    [(kind, events)] = by_type(raw_table([event, last, early, event._replace(offset=18)]))
    together = dict(event_tables(kind, events))
    assert [*together] == [*days]
    for day, found in together.items():
        alone = table_of(SUBMITTED, days[day])
        assert found.table.equals(alone.table)
        assert raw_events(found.raw) == raw_events(alone.raw)
        assert found.undecodable == alone.undecodable
