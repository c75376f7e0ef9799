"""Opens the sealed fields of events for an export with content."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from parley_cli.log.dataset.part_files import Opened
from parley_cli.log.dataset.raw_events import RawEvent
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.log.tail.unsealing import ERASED, Unsealer


class ContentOpener:
    """`unopened_fields` counts those whose key is missing or wrong, without erased sessions."""

    def __init__(self, unsealer: Unsealer) -> None:
        self._unsealer = unsealer
        self.unopened_fields = 0

    async def open(self, events: Sequence[RawEvent]) -> Opened:
        """Raises KeysUnavailable."""
        opened = await self._unsealer.unseal_all([_log_record(event) for event in events])
        return {
            event.position: {name: self._text(content) for name, content in fields.items()}
            for event, fields in zip(events, opened, strict=True)
            if fields
        }

    def _text(self, content: Mapping[str, object] | str) -> str | None:
        if isinstance(content, str):
            self.unopened_fields += content != ERASED
            return None
        return msgspec.json.encode(content).decode()


def _log_record(event: RawEvent) -> LogRecord:
    time = datetime.fromisoformat(event.time.decode())
    return LogRecord(time, event.partition, event.offset, event.record(), event.type.decode())
