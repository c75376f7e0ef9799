"""Time-ordered merge: releases records of several partitions in order as early as possible."""

from datetime import UTC, datetime, timedelta

from parley_cli.log.tail.log_record import LogRecord, RecordParser
from parley_cli.log.tail.time_order import TimeOrderedMerge
from parley_core.log import LogEntry
from parley_events.cloudevents import Record


def at(minute: int) -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(minutes=minute)


def record(partition: int, minute: int) -> LogRecord:
    return LogRecord(at(minute), partition, minute, Record(b"", [], b""), "t")


def minutes(merge: TimeOrderedMerge) -> list[int]:
    return [each.offset for each in merge.ready()]


def test_a_record_is_released_once_every_partition_was_read_up_to_its_time() -> None:
    merge = TimeOrderedMerge([0, 1])
    for minute in (1, 3, 5):
        merge.add(record(0, minute))
    merge.advance({0: at(5)})
    assert minutes(merge) == []
    assert merge.lagging_partitions() == {1}
    merge.add(record(1, 2))
    merge.advance({1: at(4)})
    assert minutes(merge) == [1, 2, 3]
    assert merge.lagging_partitions() == {1}


def test_a_finished_partition_does_not_hold_up_the_merge() -> None:
    merge = TimeOrderedMerge([0, 1])
    merge.add(record(0, 1))
    merge.advance({0: at(1)})
    merge.finish(1)
    assert minutes(merge) == [1]
    merge.add(record(0, 2))
    merge.finish(0)
    assert minutes(merge) == [2]


def test_a_record_without_a_valid_time_takes_the_time_of_its_predecessor() -> None:
    timed = Record(b"k", [("ce_time", b"2026-11-24T12:00:00Z"), ("ce_type", b"t")], b"")
    timeless = Record(b"k", [("ce_time", b"2026-11-24T12:00:00")], b"")
    first, second = RecordParser().parse([LogEntry(0, 0, timed), LogEntry(0, 1, timeless)])
    assert second.time == first.time == at(0)
    assert (first.type, second.type) == ("t", "")
