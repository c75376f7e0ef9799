"""Log records with the metadata of their headers, parsed without validation."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from parley_core.log import LogEntry
from parley_events.cloudevents import Record

UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)


class LogRecord(NamedTuple):
    """Sorts by time, then by position in the log."""

    time: datetime
    partition: int
    offset: int
    raw: Record
    type: str

    @property
    def session(self) -> str:
        return self.raw.key.decode(errors="replace")


class RecordParser:
    """Parses entries, each partition in order; `latest_times` has the last time per partition."""

    def __init__(self) -> None:
        self.latest_times: dict[int, datetime] = {}

    def parse(self, entries: Iterable[LogEntry]) -> Iterator[LogRecord]:
        for partition, offset, raw in entries:
            headers = dict(raw.headers)
            # A record without a readable time sorts directly after its predecessor.
            time = _time(headers.get("ce_time")) or self.latest_times.get(partition, UNKNOWN_TIME)
            self.latest_times[partition] = time
            event_type = headers.get("ce_type", b"").decode(errors="replace")
            yield LogRecord(time, partition, offset, raw, event_type)


def _time(header: bytes | None) -> datetime | None:
    try:
        time = datetime.fromisoformat((header or b"").decode())
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None
