"""Collects the records of a stream for export: the consumer rule, the selection, and groups."""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter

from parley_cli.log.dataset.event_tables import RawEvent, Undecodable
from parley_cli.log.dataset.manifest import EVENT_TYPE, Selection, UndecodableRecords
from parley_core.log import LogEntry
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
# An id and a time in their usual forms, in one match: the check of each event.
_ID_AND_TIME = re.compile(
    _UUID.pattern + rb" \d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z"
)
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

    def add(self, entries: Iterable[LogEntry]) -> None:
        """Raises TooManyDeferred."""
        receive, groups, selects_all = self.rule.receive, self.groups, self._selects_all
        for partition, offset, record in entries:
            headers = dict(record.headers)
            try:
                kind, version, key, sequence, time, event_id = _REQUIRED(headers)
                number = int(sequence)
                if not _ID_AND_TIME.fullmatch(b"%b %b" % (event_id, time)):
                    time = _text(datetime.fromisoformat(time.decode()))
                    if not _UUID.fullmatch(event_id):
                        raise ValueError
                if (
                    (version != b"1.0" or key != record.key or not _is_stream_id(key))
                    or not 1 <= number <= MAX_COUNT
                    or not _is_group(kind, time[:10])
                ):
                    raise ValueError
            except (KeyError, ValueError, OverflowError):
                rejected = Undecodable(partition, offset, "a header is missing or invalid")
                self.undecodable = self.undecodable.plus([rejected])
                continue
            trace = headers.get("traceparent")
            event = RawEvent(
                partition, offset, key, kind, number, event_id, time, trace, record.value
            )
            for each in receive(key, number, event_id, event):
                if selects_all or self._is_selected(each):
                    groups[each.type, each.time[:10]].append(each)
                    self.count += 1
                    self.size += len(each.value) + _EVENT_BYTES

    def take(self) -> Groups:
        """Remove and return the collected events."""
        groups, self.groups, self.count, self.size = self.groups, defaultdict(list), 0, 0
        return groups

    def _is_selected(self, event: RawEvent) -> bool:
        is_of_type = not self._types or event.type in self._types
        return is_of_type and self._since <= event.time <= self._until


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
