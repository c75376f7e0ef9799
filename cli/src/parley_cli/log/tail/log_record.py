"""A record of the log with what its headers tell, read without judging it."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from parley_core.log import LogEntry
from parley_events.cloudevents import Record

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class LogRecord(NamedTuple):
    """Sorts by its time, then by its place in the log."""

    time: datetime
    partition: int
    offset: int
    record: Record
    type: str

    @property
    def session(self) -> str:
        return self.record.key.decode(errors="replace")


class RecordParser:
    """Reads the headers of what it is given, each partition in its order."""

    def __init__(self) -> None:
        self.reached: dict[int, datetime] = {}

    def find(self, entries: Iterable[LogEntry]) -> Iterator[LogRecord]:
        for partition, offset, record in entries:
            headers = dict(record.headers)
            # One whose time cannot be read keeps its place behind the one before it.
            time = _time(headers.get("ce_time")) or self.reached.get(partition, LONG_AGO)
            self.reached[partition] = time
            event_type = headers.get("ce_type", b"").decode(errors="replace")
            yield LogRecord(time, partition, offset, record, event_type)


def _time(header: bytes | None) -> datetime | None:
    try:
        time = datetime.fromisoformat((header or b"").decode())
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None
