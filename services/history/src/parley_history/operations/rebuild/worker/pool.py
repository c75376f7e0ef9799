"""Pool of worker processes that rebuild partitions in parallel."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.worker.messages import Assignment, Committed

_MAX_STDERR_BYTES = 64 * 1024
_TERMINATION_TIMEOUT_SECONDS = 5


class WorkerPool:
    """Runs up to `max_workers` processes, by default one per core, in this environment."""

    def __init__(self, max_workers: int | None = None) -> None:
        self._max_workers = max_workers or os.cpu_count() or 1

    async def run(
        self,
        assignment: Assignment,
        missing: Mapping[int, int],
        on_committed: Callable[[int], None],
    ) -> None:
        """Return when the assignment is done; `missing` has the records of each partition.

        The first worker that fails ends the others. Raises RebuildAborted with its message.
        """
        shares = [share for share in _balance(missing, self._max_workers) if share]
        try:
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    ends = {number: assignment.ends[number] for number in share}
                    part = msgspec.structs.replace(assignment, ends=ends)
                    group.create_task(_run_worker(part, on_committed))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


def _balance(missing: Mapping[int, int], count: int) -> list[list[int]]:
    """Distribute the partitions, largest first, into shares of about equal size."""
    shares, loads = [list[int]() for _ in range(count)], [0] * count
    for number in sorted(missing, key=lambda number: -missing[number]):
        if missing[number] > 0:
            smallest = loads.index(min(loads))
            shares[smallest].append(number)
            loads[smallest] += missing[number]
    return shares


async def _run_worker(assignment: Assignment, on_committed: Callable[[int], None]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_history.operations.rebuild.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    stderr = asyncio.create_task(_read_tail(process.stderr))
    try:
        process.stdin.write(msgspec.json.encode(assignment))
        process.stdin.close()
        async for line in process.stdout:
            on_committed(msgspec.json.decode(line, type=Committed).events)
        if code := await process.wait():
            message = (await stderr).decode(errors="replace").strip()
            exited = f"A worker exited with code {code}. Run this command again to continue."
            raise RebuildAborted(message or exited)
    finally:
        await _terminate(process)
        stderr.cancel()


async def _read_tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while chunk := await stream.read(_MAX_STDERR_BYTES):
        tail = (tail + chunk)[-_MAX_STDERR_BYTES:]
    return tail


async def _terminate(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_TERMINATION_TIMEOUT_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
