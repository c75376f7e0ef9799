"""Collects the records of a stream for export: the consumer rule, the selection, and groups."""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter

from parley_cli.log.dataset.event_tables import RawEvent, Undecodable
from parley_cli.log.dataset.manifest import Selection, UndecodableRecords
from parley_core.log import LogEntry
from parley_events.consumer_rule import ConsumerRule
from parley_events.values import MAX_COUNT

NONE_UNDECODABLE = UndecodableRecords()

Groups = dict[tuple[bytes, bytes], list[RawEvent]]
"""Events by type and day."""

_REQUIRED = itemgetter("ce_type", "ce_specversion", "ce_subject", "ce_sequence", "ce_time", "ce_id")
# A type is part of a path.
_TYPE = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}")
_USUAL_TIME_LENGTH = len("2026-11-24T12:00:00.123456Z")
_UUID_LENGTH = 36
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
        receive, groups, is_selected = self.rule.receive, self.groups, self._is_selected
        for partition, offset, record in entries:
            headers = dict(record.headers)
            try:
                kind, version, key, sequence, time, event_id = _REQUIRED(headers)
                number = int(sequence)
                if len(time) != _USUAL_TIME_LENGTH or time[-1:] != b"Z":
                    time = _text(datetime.fromisoformat(time.decode()))
                if (
                    (version != b"1.0" or key != record.key or len(event_id) != _UUID_LENGTH)
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
                _, _, _, kind, _, _, time, _, value = each
                if self._selects_all or is_selected(kind, time):
                    groups[kind, time[:10]].append(each)
                    self.count += 1
                    self.size += len(value) + _EVENT_BYTES

    def take(self) -> Groups:
        """Remove and return the collected events."""
        groups, self.groups, self.count, self.size = self.groups, defaultdict(list), 0, 0
        return groups

    def _is_selected(self, kind: bytes, time: bytes) -> bool:
        return (not self._types or kind in self._types) and self._since <= time <= self._until


def _text(time: datetime) -> bytes:
    """The form of a time that sorts as text. Raises ValueError, OverflowError."""
    if time.tzinfo is None:
        raise ValueError
    utc = time.astimezone(UTC).isoformat(timespec="microseconds")
    return utc.replace("+00:00", "Z").encode()


@lru_cache(maxsize=10_000)
def _is_group(kind: bytes, day: bytes) -> bool:
    """Raises ValueError for a day that is no date."""
    date.fromisoformat(day.decode())
    return _TYPE.fullmatch(kind) is not None
