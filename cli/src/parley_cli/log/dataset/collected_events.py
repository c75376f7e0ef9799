"""Collects the records of a stream for export: the consumer rule, the selection, and columns."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter

import pyarrow as pa
from aiokafka import ConsumerRecord

from parley_cli.log.dataset.event_tables import Undecodable
from parley_cli.log.dataset.manifest import EVENT_TYPE, Selection, UndecodableRecords
from parley_cli.log.dataset.raw_events import (
    RAW_SCHEMA,
    Columns,
    RawEvent,
    columns_of,
    raw_batch,
)
from parley_events.consumer_rule import ConsumerRule
from parley_events.values import MAX_COUNT

NONE_UNDECODABLE = UndecodableRecords()

# Overhead of the arrays of a batch, beside their content.
_BATCH_BYTES = 5_000
# In the order in which `parley_events` writes them; some events have no traceparent.
_NAMES = (
    *("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence"),
    *("content-type", "traceparent"),
)
_NO_TRACEPARENT = ("traceparent", None)
_REQUIRED = itemgetter("ce_type", "ce_specversion", "ce_subject", "ce_sequence", "ce_time", "ce_id")
_TYPE = re.compile(EVENT_TYPE.encode())
# A type is the name of a folder.
_MAX_TYPE_LENGTH = 120
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_LENGTH, _TIME_LENGTH = 36, 27
_DAY = itemgetter(slice(len("2026-11-24")))
# Ids and times in their usual forms, one directly after the other.
_UUIDS = re.compile(rb"(?:%b)*+" % _UUID.pattern)
_TIMES = re.compile(rb"(?:\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z)*+")
# Raised by a missing or unreadable header: null, or bytes that are no number, time or text.
_INVALID = (KeyError, TypeError, ValueError, OverflowError)


class CollectedEvents:
    """The selected events that wait to be written. Memory: `size`, in bytes."""

    def __init__(
        self,
        selection: Selection,
        rule: ConsumerRule[bytes, RawEvent],
        undecodable: UndecodableRecords = NONE_UNDECODABLE,
    ) -> None:
        """`undecodable` are the records that were rejected before."""
        self.rule = rule
        self.count, self.size = 0, 0
        self.undecodable = undecodable
        self._batches: list[pa.RecordBatch] = []
        self._types = frozenset(each.encode() for each in selection.types)
        self._since = _text(selection.since) if selection.since else b""
        self._until = _text(selection.until) if selection.until else b"\xff"
        self._selects_all = not (selection.types or selection.since or selection.until)

    def add(self, partition: int, messages: Sequence[ConsumerRecord]) -> None:
        """Add messages of a partition, in its order. Raises TooManyDeferred."""
        try:
            columns = _usual_columns(partition, messages)
        except _INVALID:
            columns = self._applied(self._valid_events(partition, messages))
        else:
            _, _, keys, _, sequences, ids, *_ = columns
            if not self.rule.apply_all(keys, sequences, ids):
                columns = self._applied(map(RawEvent._make, zip(*columns, strict=True)))
        if not self._selects_all:
            events = map(RawEvent._make, zip(*columns, strict=True))
            columns = columns_of([event for event in events if self._is_selected(event)])
        batch = raw_batch(columns)
        self._batches.append(batch)
        self.count += batch.num_rows
        self.size += batch.nbytes + _BATCH_BYTES

    def _applied(self, events: Iterable[RawEvent]) -> Columns:
        receive = self.rule.receive
        return columns_of(
            [
                each
                for event in events
                for each in receive(event.key, event.sequence, event.id, event)
            ]
        )

    def _valid_events(
        self, partition: int, messages: Iterable[ConsumerRecord]
    ) -> Iterator[RawEvent]:
        """The events among the messages; the others become undecodable."""
        for message in messages:
            try:
                yield _event(partition, message)
            except _INVALID:
                error = "a header is missing or invalid"
                rejected = Undecodable(partition, message.offset, error)
                self.undecodable = self.undecodable.plus([rejected])

    def take(self) -> pa.Table:
        """Remove and return the collected events, in the form of RAW_SCHEMA."""
        batches, self._batches, self.count, self.size = self._batches, [], 0, 0
        return pa.Table.from_batches(batches, RAW_SCHEMA)

    def _is_selected(self, event: RawEvent) -> bool:
        is_of_type = not self._types or event.type in self._types
        return is_of_type and self._since <= event.time <= self._until


def _usual_columns(partition: int, messages: Sequence[ConsumerRecord]) -> Columns:
    """The events of messages whose headers all have their usual forms.

    The checks of `_event` for many messages in one go, which takes a third of the time. Raises one
    of _INVALID.
    """
    headers = [message.headers for message in messages]
    pairs = [each if len(each) == len(_NAMES) else (*each, _NO_TRACEPARENT) for each in headers]
    columns = zip(_NAMES, zip(*pairs, strict=True), strict=True)
    by_name = {name: [value for each, value in c if each == name] for name, c in columns}
    kinds, versions, keys, sequences, times, ids = _REQUIRED(by_name)
    traces = by_name["traceparent"]
    numbers = [*map(int, sequences)]
    if not (
        # Otherwise another header is in the place of one of them.
        set(map(len, by_name.values())) == {len(messages)}
        and set(versions) == {b"1.0"}
        and keys == [message.key for message in messages]
        and all(map(_is_stream_id, keys))
        and min(numbers) >= 1
        and max(numbers) <= MAX_COUNT
        and set(map(len, ids)) == {_UUID_LENGTH}
        and _UUIDS.fullmatch(b"".join(ids))
        and set(map(len, times)) == {_TIME_LENGTH}
        and _TIMES.fullmatch(b"".join(times))
        and all(map(_is_date, set(map(_DAY, times))))
        and all(map(_is_type, set(kinds)))
    ):
        raise ValueError
    partitions = [partition] * len(messages)
    offsets = [message.offset for message in messages]
    values = [message.value or b"" for message in messages]
    return partitions, offsets, keys, kinds, numbers, ids, times, traces, values


def _event(partition: int, message: ConsumerRecord) -> RawEvent:
    """Raises one of _INVALID."""
    headers = dict(message.headers)
    kind, version, key, sequence, time, event_id = _REQUIRED(headers)
    number = int(sequence)
    if len(time) != _TIME_LENGTH or not _TIMES.fullmatch(time):
        time = _text(datetime.fromisoformat(time.decode()))
    if (
        (version != b"1.0" or key != message.key or not _is_stream_id(key))
        or not 1 <= number <= MAX_COUNT
        or not _UUID.fullmatch(event_id)
        or not (_is_type(kind) and _is_date(_DAY(time)))
    ):
        raise ValueError
    trace, value = headers.get("traceparent"), message.value or b""
    return RawEvent(partition, message.offset, key, kind, number, event_id, time, trace, value)


def _text(time: datetime) -> bytes:
    """The form of a time that sorts as text. Raises ValueError, OverflowError."""
    if time.tzinfo is None:
        raise ValueError
    utc = time.astimezone(UTC).isoformat(timespec="microseconds")
    return utc.replace("+00:00", "Z").encode()


@lru_cache(maxsize=10_000)
def _is_stream_id(key: bytes) -> bool:
    return _UUID.fullmatch(key) is not None


@lru_cache(maxsize=1_000)
def _is_type(kind: bytes) -> bool:
    return len(kind) <= _MAX_TYPE_LENGTH and _TYPE.fullmatch(kind) is not None


@lru_cache(maxsize=10_000)
def _is_date(day: bytes) -> bool:
    """Raises ValueError if it is not."""
    return bool(date.fromisoformat(day.decode()))
