"""Records of several partitions, given out in the order of their times as soon as that is sure."""

from datetime import UTC, datetime, timedelta

from parley_cli.log.tail.log_record import LogRecord, RecordParser
from parley_cli.log.tail.time_order import TimeOrder
from parley_core.log import LogEntry
from parley_events.cloudevents import Record


def at(minute: int) -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(minutes=minute)


def found(partition: int, minute: int) -> LogRecord:
    return LogRecord(at(minute), partition, minute, Record(b"", [], b""), "t")


def minutes(order: TimeOrder) -> list[int]:
    return [each.offset for each in order.ready()]


def test_nothing_is_given_out_before_every_partition_has_come_as_far() -> None:
    order = TimeOrder([0, 1])
    for minute in (1, 3, 5):
        order.add(found(0, minute))
    order.reached({0: at(5)})
    assert minutes(order) == []
    assert order.behind() == {1}
    order.add(found(1, 2))
    order.reached({1: at(4)})
    assert minutes(order) == [1, 2, 3]
    assert order.behind() == {1}


def test_a_partition_that_is_finished_is_not_waited_for() -> None:
    order = TimeOrder([0, 1])
    order.add(found(0, 1))
    order.reached({0: at(1)})
    order.finished(1)
    assert minutes(order) == [1]
    order.add(found(0, 2))
    order.finished(0)
    assert minutes(order) == [2]


def test_a_record_without_a_time_keeps_its_place_behind_the_one_before_it() -> None:
    timed = Record(b"k", [("ce_time", b"2026-11-24T12:00:00Z"), ("ce_type", b"t")], b"")
    nameless = Record(b"k", [("ce_time", b"2026-11-24T12:00:00")], b"")
    first, second = RecordParser().find([LogEntry(0, 0, timed), LogEntry(0, 1, nameless)])
    assert second.time == first.time == at(0)
    assert (first.type, second.type) == ("t", "")
