"""Foreground child: exit code, signals and environment."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

PARENT = """
import sys
from parley_cli.service_commands.foreground import run_in_foreground

try:
    sys.exit(run_in_foreground(sys.argv[2:], {"PYTHONPATH": sys.argv[1], "DATABASE": "a secret"}))
except KeyboardInterrupt:
    sys.exit(130)
"""
CHILD = r"""
import json, os, signal, sys, time

def on_signal(number, frame):
    os.write(1, (signal.Signals(number).name + "\n").encode())
    os._exit(7)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, on_signal)
command = open("/proc/self/cmdline").read()
described = {"pid": os.getpid(), "variables": dict(os.environ), "command": command}
print(json.dumps(described), flush=True)
if sys.argv[1:] == ["wait"]:
    # Not `pause`, which does not return for a signal that arrives just before it.
    while True:
        time.sleep(0.1)
sys.exit(int(sys.argv[1]))
"""


class Parent:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(10):
            return (await self.process.stdout.readline()).decode().strip()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator["Run"]:
    (tmp_path / "child.py").write_text(CHILD)
    running = Run(tmp_path)
    yield running
    for each in running.processes:
        if each.returncode is None:
            os.killpg(each.pid, signal.SIGKILL)
            await each.wait()


class Run:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[asyncio.subprocess.Process] = []

    async def __call__(self, *arguments: str) -> Parent:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PARENT, str(self._folder), "child", *arguments),
            env=os.environ | {"PARLEY_MASTER_KEY": "not for the child", "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Like a shell: the terminal signals the whole process group.
            start_new_session=True,
        )
        self.processes.append(process)
        return Parent(process)


@pytest.mark.parametrize("code", [0, 1, 2])
async def test_the_exit_code_is_that_of_the_child(run: "Run", code: int) -> None:
    parent = await run(str(code))
    assert await parent.process.wait() == code


async def test_the_child_gets_its_environment_and_no_secret_on_its_command_line(run: "Run") -> None:
    parent = await run("wait")
    child = json.loads(await parent.line())
    assert child["variables"]["DATABASE"] == "a secret"
    assert child["variables"]["NO_COLOR"] == "1"
    assert "PARLEY_MASTER_KEY" not in child["variables"]
    assert "a secret" not in child["command"]


async def test_ctrl_c_reaches_the_child_and_the_parent_waits_for_it(run: "Run") -> None:
    parent = await run("wait")
    await parent.line()
    os.killpg(parent.process.pid, signal.SIGINT)
    assert await parent.line() == "SIGINT"
    assert await parent.process.wait() == 130


async def test_ctrl_c_while_the_child_imports_modules_ends_it_silently(
    run: "Run", tmp_path: Path
) -> None:
    (tmp_path / "child.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)"
    )
    parent = await run("wait")
    assert await parent.line() == "importing"
    os.killpg(parent.process.pid, signal.SIGINT)
    assert parent.process.stdout is not None
    assert await parent.process.stdout.read() == b""
    assert await parent.process.wait() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_the_parent_alone_is_forwarded(
    run: "Run", number: signal.Signals
) -> None:
    parent = await run("wait")
    await parent.line()
    parent.process.send_signal(number)
    assert await parent.line() == number.name
    assert await parent.process.wait() == 7


async def test_a_child_killed_by_a_signal_has_the_exit_code_of_shells(run: "Run") -> None:
    parent = await run("wait")
    os.kill(json.loads(await parent.line())["pid"], signal.SIGKILL)
    assert await parent.process.wait() == 137


async def test_the_child_ends_when_the_parent_is_killed(run: "Run") -> None:
    parent = await run("wait")
    await parent.line()
    parent.process.kill()
    await parent.process.wait()
    assert await parent.line() == "SIGTERM"
