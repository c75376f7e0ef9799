"""Collects the records of a stream for export: the consumer rule, the selection, and groups."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import repeat, starmap
from operator import itemgetter

from aiokafka import ConsumerRecord

from parley_cli.log.dataset.event_tables import RawEvent, Undecodable
from parley_cli.log.dataset.manifest import EVENT_TYPE, Selection, UndecodableRecords
from parley_events.consumer_rule import ConsumerRule
from parley_events.values import MAX_COUNT

NONE_UNDECODABLE = UndecodableRecords()

Groups = dict[tuple[bytes, bytes], list[RawEvent]]
"""Events by type and day."""

_REQUIRED = itemgetter("ce_type", "ce_specversion", "ce_subject", "ce_sequence", "ce_time", "ce_id")
_TYPE = re.compile(EVENT_TYPE.encode())
# It is the name of a folder.
_MAX_TYPE_LENGTH = 120
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_LENGTH, _TIME_LENGTH = 36, 27
# Ids and times in their usual forms, one directly after the other.
_UUIDS = re.compile(rb"(?:%b)*+" % _UUID.pattern)
_TIMES = re.compile(rb"(?:\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z)*+")
# What a missing or unreadable header raises: null, or bytes that are no number, time or text.
_INVALID = (KeyError, TypeError, ValueError, OverflowError)
# Python's overhead of a record, beside the bytes of its value.
_EVENT_BYTES = 700


class CollectedEvents:
    """The selected events that wait to be written. Memory: `size`, in bytes, approximately."""

    def __init__(
        self,
        selection: Selection,
        rule: ConsumerRule[bytes, RawEvent],
        undecodable: UndecodableRecords = NONE_UNDECODABLE,
    ) -> None:
        """`undecodable` are the records that were rejected before."""
        self.rule = rule
        self.groups: Groups = defaultdict(list)
        self.count, self.size = 0, 0
        self.undecodable = undecodable
        self._types = frozenset(each.encode() for each in selection.types)
        self._since = _text(selection.since) if selection.since else b""
        self._until = _text(selection.until) if selection.until else b"\xff"
        self._selects_all = not (selection.types or selection.since or selection.until)

    def add(self, partition: int, messages: Sequence[ConsumerRecord]) -> None:
        """Add messages of a partition, in its order. Raises TooManyDeferred."""
        try:
            events: Iterable[RawEvent] = _usual_events(partition, messages)
        except _INVALID:
            events = self._valid_events(partition, messages)
        receive, groups, selects_all = self.rule.receive, self.groups, self._selects_all
        count = size = 0
        for event in events:
            for each in receive(event.key, event.sequence, event.id, event):
                if selects_all or self._is_selected(each):
                    groups[each.type, each.time[:10]].append(each)
                    count += 1
                    size += len(each.value)
        self.count += count
        self.size += size + count * _EVENT_BYTES

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

    def take(self) -> Groups:
        """Remove and return the collected events."""
        groups, self.groups, self.count, self.size = self.groups, defaultdict(list), 0, 0
        return groups

    def _is_selected(self, event: RawEvent) -> bool:
        is_of_type = not self._types or event.type in self._types
        return is_of_type and self._since <= event.time <= self._until


def _usual_events(partition: int, messages: Sequence[ConsumerRecord]) -> Iterable[RawEvent]:
    """The events of messages whose headers all have their usual forms.

    The checks of `_event` for many messages in one go, which takes a third of the time. Raises one
    of _INVALID.
    """
    headers = [dict(each.headers) for each in messages]
    kinds, versions, keys, sequences, times, ids = zip(*map(_REQUIRED, headers), strict=True)
    numbers = [*map(int, sequences)]
    if not (
        set(versions) == {b"1.0"}
        and keys == tuple([each.key for each in messages])
        and all(map(_is_stream_id, keys))
        and min(numbers) >= 1
        and max(numbers) <= MAX_COUNT
        and set(map(len, ids)) == {_UUID_LENGTH}
        and _UUIDS.fullmatch(b"".join(ids))
        and set(map(len, times)) == {_TIME_LENGTH}
        and _TIMES.fullmatch(b"".join(times))
        and all(starmap(_is_group, set(zip(kinds, [each[:10] for each in times], strict=True))))
    ):
        raise ValueError
    offsets = [each.offset for each in messages]
    traces = [each.get("traceparent") for each in headers]
    values = [each.value or b"" for each in messages]
    partitions = repeat(partition, len(messages))
    columns = (partitions, offsets, keys, kinds, numbers, ids, times, traces, values)
    return map(RawEvent._make, zip(*columns, strict=True))


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
        or not _is_group(kind, time[:10])
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


@lru_cache(maxsize=10_000)
def _is_group(kind: bytes, day: bytes) -> bool:
    """Raises ValueError for a day that is no date."""
    date.fromisoformat(day.decode())
    return len(kind) <= _MAX_TYPE_LENGTH and _TYPE.fullmatch(kind) is not None
