"""Records that an export takes for events, and those that it lists as none."""

from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord

from parley_cli.log.dataset.collected_events import CollectedEvents
from parley_cli.log.dataset.event_tables import by_type, event_tables
from parley_cli.log.dataset.manifest import Selection
from parley_cli.log.dataset.raw_events import RawEvent
from parley_events.cloudevents import Record
from parley_events.consumer_rule import ConsumerRule
from parley_events.golden import golden_record

STARTED = "parley.session.session_started.v1"


def started(**headers: bytes) -> Record:
    """The first event of a session, with other headers."""
    record = golden_record(STARTED)
    fields = {**dict(record.headers), "ce_sequence": b"1", **headers}
    return replace(record, key=fields["ce_subject"], headers=[*fields.items()])


EVENT_ID = dict(started().headers)["ce_id"]
OTHER_SESSION = b"00000000-0000-4000-8000-000000000000"


def message(record: Record, offset: int = 7) -> ConsumerRecord[bytes, bytes]:
    sizes = (None, len(record.key), len(record.value))
    headers = tuple(record.headers)
    return ConsumerRecord("t", 0, offset, 0, 0, record.key, record.value, *sizes, headers)


def collected(*messages: ConsumerRecord[bytes, bytes]) -> CollectedEvents:
    events = CollectedEvents(Selection(), ConsumerRule[bytes, RawEvent]())
    events.add(0, messages)
    return events


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_id": dict(started().headers)["ce_id"].upper()},
        {"ce_id": b"X" * 36},
        {"ce_subject": b"another"},
        {"ce_subject": b"\xff" * 36},
        {"ce_subject": started().key.upper()},
        {"ce_time": b"2026-11-24T25:00:00.123456Z"},
        {"ce_time": b"2026-02-30T12:00:00.123456Z"},
        {"ce_time": b"2026-11-24T12:00:00.123456"},
        {"ce_type": b"started"},
        {"ce_type": b"Parley.Session.Started"},
        {"ce_type": b"parley.session/../started"},
        {"ce_type": b"parley." + b"x" * 120},
        {"ce_sequence": b"0"},
        {"ce_specversion": b"0.3"},
    ],
    ids=str,
)
def test_a_record_with_an_invalid_header_is_no_event(headers: dict[str, bytes]) -> None:
    events = collected(message(started(**headers)))
    assert [each.offset for each in events.undecodable.first] == [7]
    assert events.count == 0


@pytest.mark.parametrize("name", [name for name, _ in started().headers if name[:3] == "ce_"])
def test_a_record_with_null_in_a_header_is_an_event_only_if_nothing_needs_it(name: str) -> None:
    usual = message(started())
    headers = tuple((each, None if each == name else value) for each, value in usual.headers)
    events = collected(replace(usual, headers=headers))
    assert events.count == (name == "ce_source")
    assert events.undecodable.count == 1 - events.count


@pytest.mark.parametrize(
    ("event_id", "time"),
    [
        (EVENT_ID[:-1], b"2026-11-24T12:00:00.123456Z"),
        (EVENT_ID + b"0", b"2026-11-24T12:00:00.123456Z"),
        (EVENT_ID[:-1], b"02026-11-24T12:00:00.123456Z"),
        (b"", b""),
    ],
)
def test_an_invalid_record_leaves_the_others_of_its_batch_as_they_are(
    event_id: bytes, time: bytes
) -> None:
    other = started(ce_subject=OTHER_SESSION, ce_id=event_id, ce_time=time)
    events = collected(message(started(), 7), message(other, 8), message(started(), 9))
    assert [each.offset for each in events.undecodable.first] == [8]
    assert events.take()["offset"].to_pylist() == [7]
    assert events.rule.repeats == 1


@pytest.mark.parametrize(
    "time",
    [
        b"2026-11-24T12:00:00Z",
        b"2026-11-24T12:00:00.5+01:00",
        b"2026-11-24 12:00:00.123456Z",
        b"2026-11-24T12:00:00,123456Z",
        b"2026-W48-2T12:00:00.123456Z",
    ],
)
def test_an_unusual_form_of_a_time_is_exported_like_the_usual_one(time: bytes) -> None:
    [(kind, events)] = by_type(collected(message(started(ce_time=time))).take())
    [(day, rows)] = event_tables(kind, events)
    [row] = rows.table.to_pylist()
    assert (day, row["time"].date().isoformat()) == ("2026-11-24", "2026-11-24")


def test_events_that_are_not_the_next_ones_of_their_sessions_wait_or_are_dropped() -> None:
    first, second, third = (started(ce_sequence=b"%d" % number) for number in (1, 2, 3))
    events = collected(message(third, 7), message(first, 8), message(first, 9))
    assert events.take()["offset"].to_pylist() == [8]
    events.add(0, [message(second, 10)])
    assert events.take()["offset"].to_pylist() == [10, 7]
    assert events.rule.repeats == 1


def test_a_batch_may_have_events_with_and_without_a_traceparent() -> None:
    with_one = message(started(traceparent=b"00-1-2-01"), 7)
    headers = tuple(message(started(ce_subject=OTHER_SESSION)).headers)
    without = replace(with_one, key=OTHER_SESSION, headers=headers[:-1], offset=8)
    events = collected(with_one, without).take()
    assert events["traceparent"].to_pylist() == [b"00-1-2-01", None]
