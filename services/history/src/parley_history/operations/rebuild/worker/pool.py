"""The worker processes of a rebuild, each with a share of the partitions."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.worker.messages import Assignment, Done

_MOST_SAID = 64 * 1024
_END_SECONDS = 5


class WorkerPool:
    """At most `most` processes at once, with this process's environment for their settings."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most or os.cpu_count() or 1

    async def work(
        self, assignment: Assignment, left: Mapping[int, int], on_done: Callable[[int], None]
    ) -> None:
        """Return when all of it is done; `left` has the number of records of each partition.

        The first worker that fails ends the others. Raises RebuildAborted with its sentence.
        """
        shares = [share for share in _shares(left, self._most) if share]
        try:
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    ends = {number: assignment.ends[number] for number in share}
                    part = msgspec.structs.replace(assignment, ends=ends)
                    group.create_task(_one_worker(part, on_done))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None


def _shares(left: Mapping[int, int], count: int) -> list[list[int]]:
    """The partitions in shares of about as many records each; the largest are dealt out first."""
    shares, loads = [list[int]() for _ in range(count)], [0] * count
    for number in sorted(left, key=lambda number: -left[number]):
        if left[number] > 0:
            least = loads.index(min(loads))
            shares[least].append(number)
            loads[least] += left[number]
    return shares


async def _one_worker(assignment: Assignment, on_done: Callable[[int], None]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_history.operations.rebuild.worker.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(_tail(process.stderr))
    try:
        process.stdin.write(msgspec.json.encode(assignment))
        process.stdin.close()
        async for line in process.stdout:
            on_done(msgspec.json.decode(line, type=Done).events)
        if code := await process.wait():
            sentence = (await said).decode(errors="replace").strip()
            died = f"A worker of the rebuild ended with code {code}. Run this again: it goes on."
            raise RebuildAborted(sentence or died)
    finally:
        await _end(process)
        said.cancel()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """The last of what was said."""
    said = b""
    while more := await stream.read(_MOST_SAID):
        said = (said + more)[-_MOST_SAID:]
    return said


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
