"""Records that an export takes for events, and those that it lists as none."""

from dataclasses import replace

import pytest

from parley_cli.log.dataset.collected_events import CollectedEvents
from parley_cli.log.dataset.event_tables import RawEvent, event_table
from parley_cli.log.dataset.manifest import Selection
from parley_core.log import LogEntry
from parley_events.cloudevents import Record
from parley_events.consumer_rule import ConsumerRule
from parley_events.golden import golden_record

STARTED = "parley.session.session_started.v1"


def started(**headers: bytes) -> Record:
    """The first event of a session, with other headers."""
    record = golden_record(STARTED)
    fields = {**dict(record.headers), "ce_sequence": b"1", **headers}
    return replace(record, key=fields["ce_subject"], headers=[*fields.items()])


def collected(record: Record) -> CollectedEvents:
    events = CollectedEvents(Selection(), ConsumerRule[bytes, RawEvent]())
    events.add([LogEntry(0, 7, record)])
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
    events = collected(started(**headers))
    assert [each.offset for each in events.undecodable.first] == [7]
    assert events.count == 0


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
    [((kind, day), [event])] = collected(started(ce_time=time)).take().items()
    [row] = event_table(kind.decode(), [event]).table.to_pylist()
    assert (day, row["time"].date().isoformat()) == (b"2026-11-24", "2026-11-24")
