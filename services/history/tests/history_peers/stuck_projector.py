"""`python -m history_peers.stuck_projector project`: its reader hangs once it has read something.

Neither an error nor a cancellation ends what it hangs in, as with a client that is stuck.
"""

import asyncio
import sys
from contextlib import suppress

from parley_core.log import GroupReader, LogEntry
from parley_history.__main__ import main

read = GroupReader.read


async def read_once(reader: GroupReader, max_records: int, timeout: float) -> list[LogEntry]:
    entries = await read(reader, max_records, timeout)
    while entries:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    return entries


if __name__ == "__main__":
    GroupReader.read = read_once  # type: ignore[method-assign]
    sys.exit(main())
