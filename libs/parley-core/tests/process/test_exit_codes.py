"""SIGTERM ends a program, also as PID 1 of a container."""

import asyncio
import os
import shutil
import signal
import sys

import pytest

PROGRAM = """
import asyncio, sys
from parley_core.process.exit_codes import exit_code

async def work():
    try:
        print("working", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)

sys.exit(exit_code(lambda: asyncio.run(work())))
"""
AS_PID_1 = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_a_command_with_its_code_after_a_clean_up(
    number: signal.Signals, code: int
) -> None:
    process = await _started(sys.executable, "-c", PROGRAM)
    process.send_signal(number)
    assert await _output(process) == b"cleaned up\n"
    assert process.returncode == code


async def test_sigterm_ends_a_command_that_is_pid_1() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    try:
        process = await _started(*AS_PID_1, sys.executable, "-c", PROGRAM)
    except EOFError:
        pytest.skip("this machine does not let tests create a PID namespace")
    # unshare waits for its child, and ends with the child's code.
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children) as listed:  # noqa: ASYNC230
        child = int(listed.read().split()[0])
    os.kill(child, signal.SIGTERM)
    assert await _output(process) == b"cleaned up\n"
    assert process.returncode == 143


async def _started(*command: str) -> asyncio.subprocess.Process:
    """Start the command, and wait until it works. Raises EOFError if it ends before."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"working\n":
        await process.communicate()
        raise EOFError
    return process


async def _output(process: asyncio.subprocess.Process) -> bytes:
    async with asyncio.timeout(10):
        return (await process.communicate())[0]
