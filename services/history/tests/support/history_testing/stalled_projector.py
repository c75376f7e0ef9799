"""`python -m history_testing.stalled_projector project`: hangs after its first records.

Neither an error nor a cancellation ends the hang, as with a Kafka client that is stuck.
"""

import asyncio
import sys
from contextlib import suppress

from parley_core.log import GroupReader, LogEntry
from parley_history.__main__ import main
from parley_history.projection import watchdog

read = GroupReader.read


async def read_once(reader: GroupReader, max_records: int, timeout: float) -> list[LogEntry]:
    entries = await read(reader, max_records, timeout)
    while entries:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    return entries


if __name__ == "__main__":
    watchdog.CHECK_INTERVAL_SECONDS = 0.1
    GroupReader.read = read_once  # type: ignore[method-assign, assignment]
    sys.exit(main())
