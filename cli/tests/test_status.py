"""`parley status`: what runs now, whatever an earlier stack left behind."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli_peers.small_service import SmallServices

from parley_cli.engines import EngineError, free_port
from parley_cli.stack.state_file import RunningProcess, RunningStack, StackLock, write_stack
from parley_cli.stack.status import status
from parley_cli.stack.supervision.service_process import ServiceProcess

HOLD_THE_LOCK = """
import pathlib, sys
from parley_cli.stack.state_file import StackLock

with StackLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    process = SmallServices(tmp_path).one("session")
    await process.start()
    yield process
    await process.stop(2)


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def stack_of(*processes: RunningProcess) -> RunningStack:
    return RunningStack("http://127.0.0.1:8080", list(processes))


def test_each_process_is_asked_now(
    service: ServiceProcess, gone: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = service.address
    ready = RunningProcess("session", service.child.pid, service.address)
    dead = RunningProcess("inference", gone, service.address)
    silent = RunningProcess("gateway", os.getpid(), f"127.0.0.1:{free_port()}")
    given = RunningProcess("kafka", None, elsewhere)
    write_stack(tmp_path, stack_of(ready, dead, silent, given))
    with StackLock(tmp_path):
        assert status(tmp_path, as_json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "name": "session",
        "pid": service.child.pid,
        "address": service.address,
        "ready": True,
    }
    assert [row["ready"] for row in rows] == [True, False, False, True]
    assert rows[3]["pid"] is None


def test_a_person_is_shown_a_line_per_process(
    service: ServiceProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = RunningProcess("session", service.child.pid, service.address)
    write_stack(tmp_path, stack_of(process))
    with StackLock(tmp_path):
        status(tmp_path, as_json=False)
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["NAME", "PID", "ADDRESS", "READY"]
    assert row.split() == ["session", str(process.pid), process.address, "yes"]


def test_what_a_killed_stack_left_behind_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stack(tmp_path, stack_of(RunningProcess("session", os.getpid(), "127.0.0.1:1")))
    assert status(tmp_path, as_json=True) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"Nothing runs on {tmp_path}: `parley up` starts it.\n"


def test_one_data_folder_has_one_stack_until_that_is_gone_however_it_went(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(EngineError, match=f"already runs on .*, as process {holder.pid}: end"),
            StackLock(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
        with StackLock(tmp_path) as lock:
            assert lock.is_held()
        assert not lock.is_held()
