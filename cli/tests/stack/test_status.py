"""`parley status`: probes of the running processes; stale state files are ignored."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli_fakes.service import FakeServices

from parley_cli.__main__ import main
from parley_cli.engines import EngineError, free_port
from parley_cli.stack.state_file import RunningProcess, RunningStack, StackLock, write_state_file
from parley_cli.stack.supervision.service_process import ServiceProcess

LOCK_AND_WAIT = """
import pathlib, sys
from parley_cli.stack.state_file import StackLock

with StackLock(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    process = FakeServices(tmp_path).create("session")
    await process.start()
    yield process
    await process.stop(2)


@pytest.fixture
def ended_pid() -> int:
    """The ID of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def stack_of(*processes: RunningProcess) -> RunningStack:
    return RunningStack("http://127.0.0.1:8080", list(processes))


def test_json_output_has_the_readiness_of_each_process(
    service: ServiceProcess, ended_pid: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    external_address = service.address
    ready = RunningProcess("session", service.child.pid, service.address)
    dead = RunningProcess("inference", ended_pid, service.address)
    silent = RunningProcess("gateway", os.getpid(), f"127.0.0.1:{free_port()}")
    external = RunningProcess("kafka", None, external_address)
    write_state_file(tmp_path, stack_of(ready, dead, silent, external))
    with StackLock(tmp_path):
        assert main(["status", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "name": "session",
        "pid": service.child.pid,
        "address": service.address,
        "ready": True,
    }
    assert [row["ready"] for row in rows] == [True, False, False, True]
    assert rows[3]["pid"] is None


def test_table_output_has_a_line_per_process(
    service: ServiceProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = RunningProcess("session", service.child.pid, service.address)
    write_state_file(tmp_path, stack_of(process))
    with StackLock(tmp_path):
        main(["status"])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "PID", "ADDRESS", "READY"]
    assert row.split() == ["session", str(process.pid), process.address, "yes"]


def test_the_state_file_of_a_killed_stack_is_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state_file(tmp_path, stack_of(RunningProcess("session", os.getpid(), "127.0.0.1:1")))
    assert main(["status", "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"No stack runs on {tmp_path}: start one with `parley up`.\n"


def test_a_data_folder_is_locked_until_its_stack_has_ended_even_by_sigkill(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK_AND_WAIT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(EngineError, match=f"already runs on .* as process {holder.pid}: stop"),
            StackLock(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
        with StackLock(tmp_path) as lock:
            assert lock.is_locked()
        assert not lock.is_locked()
