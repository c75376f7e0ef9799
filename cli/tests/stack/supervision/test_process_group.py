"""Process group: start order, restarts and staged stops of small child processes."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from cli_fakes.service import FakeServices

from parley_cli.engines import EngineError
from parley_cli.stack.supervision.process_group import ManagedProcess, ProcessGroup
from parley_cli.stack.supervision.service_process import InvalidServiceSettings, ServiceProcess
from parley_cli.stack.supervision.startup_steps import Step
from parley_cli.stack.supervision.supervisor import RestartLimitReached, RestartPolicy
from parley_testing.eventually import eventually

QUICK_RESTARTS = RestartPolicy(max_exits=3, window_seconds=60, initial_delay_seconds=0.01)


class RecordingReporter:
    """Records the progress that a terminal would show."""

    def __init__(self) -> None:
        self.ready_names: list[str] = []
        self.warnings: list[str] = []

    def starting(self, names: Sequence[str]) -> None:
        self.expected = list(names)

    def ready(self, name: str, seconds: float, address: str) -> None:
        self.ready_names.append(name)

    def was_ready(self, name: str, times: int) -> bool:
        return self.ready_names.count(name) == times

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class RunningGroup:
    """A process group that runs in a task."""

    def __init__(
        self, members: Sequence[ManagedProcess], preparations: Sequence[Step] = ()
    ) -> None:
        self.reporter, self.changes, self.started = RecordingReporter(), 0, asyncio.Event()
        self.group = ProcessGroup(
            members, preparations, self.reporter, self._count, restart_policy=QUICK_RESTARTS
        )
        self.task = asyncio.create_task(self.group.run(self.started.set))

    def _count(self) -> None:
        self.changes += 1

    async def until_started(self) -> None:
        async with asyncio.timeout(20):
            await self.started.wait()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, EngineError):
            await self.task
        await self.group.stop([20, 20], timeout=30)


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    return FakeServices(tmp_path)


@pytest.fixture
async def running() -> AsyncIterator[list[RunningGroup]]:
    """Groups appended to this list are stopped after the test."""
    groups: list[RunningGroup] = []
    yield groups
    for each in groups:
        await each.stop()


@pytest.fixture
async def single(services: FakeServices) -> AsyncIterator[ServiceProcess]:
    process = services.create("single")
    yield process
    await process.stop(2)


async def test_a_process_starts_after_its_dependencies(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    done: list[str] = []

    async def prepare() -> None:
        done.append("prepared")

    first, second = services.create("first"), services.create("second")
    group = RunningGroup(
        [ManagedProcess(second, ("first", "preparation")), ManagedProcess(first)],
        [Step("preparation", prepare)],
    )
    running.append(group)
    await group.until_started()
    assert group.reporter.ready_names == ["first", "second"]
    assert done == ["prepared"]
    assert [process.pid for process in group.group.running()] == [second.child.pid, first.child.pid]


async def test_a_killed_process_is_restarted_at_the_same_address_with_a_warning(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    process = services.create("killed")
    group = RunningGroup([ManagedProcess(process)])
    running.append(group)
    await group.until_started()
    before, address = process.child.pid, process.address
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: group.reporter.ready_names == ["killed", "killed"])
    assert process.child.pid != before
    assert process.address == address
    assert group.reporter.warnings == ["killed ended (signal SIGKILL); restarting in 0.0 s"]
    assert group.changes == 2


async def test_a_process_at_its_restart_limit_ends_the_group_with_its_last_log_lines(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    process, other = services.create("dying"), services.create("other")
    group = RunningGroup([ManagedProcess(process), ManagedProcess(other)])
    running.append(group)
    await group.until_started()
    for starts in (1, 2, 3):
        await eventually(partial(group.reporter.was_ready, "dying", starts))
        os.kill(process.child.pid, signal.SIGKILL)
    with pytest.raises(
        RestartLimitReached, match=r"^dying ended 3 times within 60 s(.|\n)*running$"
    ):
        await group.task


async def test_processes_are_stopped_stage_by_stage(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    late, early = services.create("late"), services.create("early")
    group = RunningGroup([ManagedProcess(late, stop_stage=1), ManagedProcess(early, stop_stage=0)])
    running.append(group)
    await group.until_started()
    await group.stop()
    assert services.stopped == ["early", "late"]


async def test_a_process_that_ignores_sigterm_is_killed_in_time_for_the_others(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    stubborn, other = services.create("stubborn", IGNORE_SIGTERM="1"), services.create("other")
    group = RunningGroup(
        [ManagedProcess(stubborn, stop_stage=0), ManagedProcess(other, stop_stage=1)]
    )
    running.append(group)
    await group.until_started()
    group.task.cancel()
    started_at = time.monotonic()
    await group.group.stop([0.2, 60], timeout=60)
    assert time.monotonic() - started_at < 30
    assert services.stopped == ["other"]
    assert not stubborn.child.is_running


async def test_a_process_that_cannot_start_ends_the_others_with_its_error(
    services: FakeServices, running: list[RunningGroup]
) -> None:
    broken, other = services.create("broken", FAIL_WITH="FATAL: no key"), services.create("other")
    group = RunningGroup([ManagedProcess(other), ManagedProcess(broken, ("other",))])
    running.append(group)
    with pytest.raises(EngineError, match=r"^broken ended while starting: FATAL: no key$"):
        await group.task
    await group.stop()
    assert not other.child.is_running


async def test_the_explanation_is_not_any_line_of_the_logger_uvicorn_error(
    services: FakeServices,
) -> None:
    message = "ERROR uvicorn.error: no such host\nINFO uvicorn.error: Finished"
    broken = services.create("broken", FAIL_WITH=message)
    with pytest.raises(EngineError, match=r"ended while starting: .* no such host$"):
        await broken.start()


async def test_a_service_that_rejects_its_settings_is_quoted(services: FakeServices) -> None:
    process = services.create("strict", FAIL_WITH="PARLEY_X is not set.", CODE="2")
    with pytest.raises(InvalidServiceSettings, match=r"^strict: PARLEY_X is not set\.$"):
        await process.start()


async def test_a_service_that_does_not_become_ready_is_quoted_with_its_readiness_response(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = services.create("waiting", STATUS="503")
    wait_ready = process.child.wait_ready

    async def wait_until_answered(probe: Callable[[], Awaitable[bool]], timeout: float) -> None:
        # The time is over once the service has answered, however long a busy machine takes.
        async def has_answered() -> bool:
            await probe()
            return bool(process._not_ready_body)

        await eventually(has_answered)
        await wait_ready(probe, 0)

    monkeypatch.setattr(process.child, "wait_ready", wait_until_answered)
    try:
        with pytest.raises(EngineError, match=r"^waiting was not ready within .*event store"):
            await process.start()
    finally:
        await process.stop(2)


async def test_a_port_in_use_is_reported(services: FakeServices) -> None:
    spec = services.spec("late")
    port = int(spec.address.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(EngineError, match=f"^late cannot listen on port {port}: another process"),
    ):
        await ServiceProcess(spec, services.data).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's variables")
async def test_a_service_gets_its_environment_and_no_other_variable(
    single: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "an API key")
    await single.start()
    environment = environment_of(single.child.pid)
    assert b"NAME=single" in environment
    assert b"an API key" not in environment


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_large_log_is_rotated(
    single: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_cli.engines.process.child_log.MAX_LOG_BYTES", 4)
    await single.start()
    single.child.log.rotate_if_large()
    assert single.child.log.path.read_text() == ""
    assert single.child.log.path.with_suffix(".log.1").read_text() == "running\n"
