"""The moment of `--as-of`: a time of events, or positions in the log."""

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from parley_cli.log.time_arguments import parse_time

_POSITIONS = re.compile(r"\d{1,6}:\d{1,18}(,\d{1,6}:\d{1,18})*")


@dataclass(frozen=True, slots=True)
class AsOf:
    """Selects the events up to a time, inclusive, or before positions, which are the next offsets.

    Positions are those of the sessions topic; partitions that they do not name are left out.
    """

    time: datetime | None = None
    positions: Mapping[int, int] | None = None

    def condition(self) -> str:
        """The condition on the events of sessions, in SQL."""
        if self.time is not None:
            return f"time <= TIMESTAMPTZ '{self.time.astimezone(UTC).isoformat()}'"
        before = (
            f"(log_partition = {partition} AND log_offset < {offset})"
            for partition, offset in (self.positions or {}).items()
        )
        return " OR ".join(before)


def parse_as_of(text: str, now: datetime) -> AsOf:
    """Raises ArgumentTypeError."""
    if _POSITIONS.fullmatch(text):
        pairs = (each.split(":") for each in text.split(","))
        return AsOf(positions={int(partition): int(offset) for partition, offset in pairs})
    try:
        return AsOf(time=parse_time(text, now))
    except ArgumentTypeError as error:
        raise ArgumentTypeError(
            f"{error}; or positions PARTITION:OFFSET,… as the manifest of an export has them"
        ) from None
