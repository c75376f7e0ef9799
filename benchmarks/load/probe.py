"""Probes several servers all the time, and reports the longest time that each took to answer.

Run as `python -m benchmarks.load.probe ADDRESS …`: a process of its own, so that the load does not
delay it. Each line of its input is answered with a line of JSON: the seconds by address since the
line before.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

INTERVAL_SECONDS = 0.002
_REQUEST = b"GET /probe HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Prober:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def longest_waits(self) -> Mapping[str, float]:
        """The seconds by address since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        waits: dict[str, float] = json.loads(await self._process.stdout.readline())
        return waits


@asynccontextmanager
async def prober(addresses: Sequence[str]) -> AsyncIterator[Prober]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load.probe", *addresses),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Prober(process)
    finally:
        process.terminate()
        await process.wait()


async def _probe(address: str, waits: dict[str, float]) -> None:
    host, _, port = address.rpartition(":")
    while True:
        reader, writer = await asyncio.open_connection(host, int(port))
        # The server closes a connection of some age after a response.
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                started_at = time.perf_counter()
                writer.write(_REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                waits[address] = max(waits[address], time.perf_counter() - started_at)
                await asyncio.sleep(INTERVAL_SECONDS)
        writer.close()


async def _main(addresses: Sequence[str]) -> None:
    waits = dict.fromkeys(addresses, 0.0)
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            group.create_task(_probe(address, waits))
        while await lines.readline():
            print(json.dumps(waits), flush=True)
            waits.update(dict.fromkeys(addresses, 0.0))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
