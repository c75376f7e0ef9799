"""Processes that are started, watched and stopped: real ones, only small."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from cli_peers.small_service import SmallServices

from parley_cli.engines import EngineError
from parley_cli.stack.supervision import service_process
from parley_cli.stack.supervision.process_group import ManagedProcess, Stack
from parley_cli.stack.supervision.service_process import InvalidServiceSettings, ServiceProcess
from parley_cli.stack.supervision.startup_steps import Step
from parley_cli.stack.supervision.supervisor import RestartLimitReached, RestartPolicy
from parley_testing.eventually import eventually

QUICK = RestartPolicy(deaths=3, seconds=60, first_pause=0.01)


class ProcessEnvironment:
    """What the terminal would show."""

    def __init__(self) -> None:
        self.ready_names: list[str] = []
        self.troubles: list[str] = []

    def starting(self, names: Sequence[str]) -> None:
        self.expected = list(names)

    def ready(self, name: str, seconds: float, address: str) -> None:
        self.ready_names.append(name)

    def was_ready(self, name: str, times: int) -> bool:
        return self.ready_names.count(name) == times

    def trouble(self, text: str) -> None:
        self.troubles.append(text)


class Running:
    """A stack in a task of its own, as `parley up` has it."""

    def __init__(
        self, members: Sequence[ManagedProcess], preparations: Sequence[Step] = ()
    ) -> None:
        self.told, self.changes, self.started = ProcessEnvironment(), 0, asyncio.Event()
        self.stack = Stack(members, preparations, self.told, self._count, patience=QUICK)
        self.task = asyncio.create_task(self.stack.run(self.started.set))

    def _count(self) -> None:
        self.changes += 1

    async def until_started(self) -> None:
        async with asyncio.timeout(20):
            await self.started.wait()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, EngineError):
            await self.task
        await self.stack.stop([2, 2], within=3)


@pytest.fixture
def small(tmp_path: Path) -> SmallServices:
    return SmallServices(tmp_path)


@pytest.fixture
async def running() -> AsyncIterator[list[Running]]:
    """Stacks put here are stopped after the test."""
    stacks: list[Running] = []
    yield stacks
    for each in stacks:
        await each.stop()


@pytest.fixture
async def alone(small: SmallServices) -> AsyncIterator[ServiceProcess]:
    process = small.one("alone")
    yield process
    await process.stop(2)


async def test_a_member_starts_only_after_what_it_needs(
    small: SmallServices, running: list[Running]
) -> None:
    done: list[str] = []

    async def prepare() -> None:
        done.append("prepared")

    first, second = small.one("first"), small.one("second")
    stack = Running(
        [ManagedProcess(second, ("first", "preparation")), ManagedProcess(first)],
        [Step("preparation", prepare)],
    )
    running.append(stack)
    await stack.until_started()
    assert stack.told.ready_names == ["first", "second"]
    assert done == ["prepared"]
    assert [process.pid for process in stack.stack.running()] == [second.child.pid, first.child.pid]


async def test_a_killed_process_is_started_again_at_its_address_and_that_is_told(
    small: SmallServices, running: list[Running]
) -> None:
    process = small.one("killed")
    stack = Running([ManagedProcess(process)])
    running.append(stack)
    await stack.until_started()
    before, address = process.child.pid, process.address
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.told.ready_names == ["killed", "killed"])
    assert process.child.pid != before
    assert process.address == address
    assert stack.told.troubles == ["killed ended (signal SIGKILL) and is started again in 0.0 s."]
    assert stack.changes == 2


async def test_one_that_keeps_dying_ends_the_stack_with_the_end_of_its_log(
    small: SmallServices, running: list[Running]
) -> None:
    process, other = small.one("dying"), small.one("other")
    stack = Running([ManagedProcess(process), ManagedProcess(other)])
    running.append(stack)
    await stack.until_started()
    for starts in (1, 2, 3):
        await eventually(partial(stack.told.was_ready, "dying", starts))
        os.kill(process.child.pid, signal.SIGKILL)
    with pytest.raises(
        RestartLimitReached, match=r"^dying ended 3 times within 60 s(.|\n)*it runs$"
    ):
        await stack.task


async def test_members_are_stopped_stage_by_stage(
    small: SmallServices, running: list[Running]
) -> None:
    late, early = small.one("late"), small.one("early")
    stack = Running([ManagedProcess(late, stop_stage=1), ManagedProcess(early, stop_stage=0)])
    running.append(stack)
    await stack.until_started()
    await stack.stop()
    assert small.ends == ["early", "late"]


async def test_one_that_does_not_end_is_killed_in_time_for_the_others(
    small: SmallServices, running: list[Running]
) -> None:
    deaf, other = small.one("deaf", DEAF="1"), small.one("other")
    stack = Running([ManagedProcess(deaf, stop_stage=0), ManagedProcess(other, stop_stage=1)])
    running.append(stack)
    await stack.until_started()
    stack.task.cancel()
    began = time.monotonic()
    await stack.stack.stop([0.2, 2], within=3)
    assert time.monotonic() - began < 1.5
    assert small.ends == ["other"]
    assert not deaf.child.runs


async def test_one_that_cannot_start_ends_the_others_with_its_sentence(
    small: SmallServices, running: list[Running]
) -> None:
    broken, other = small.one("broken", LAST_WORDS="FATAL: no key"), small.one("other")
    stack = Running([ManagedProcess(other), ManagedProcess(broken, ("other",))])
    running.append(stack)
    with pytest.raises(EngineError, match=r"^broken ended while starting: FATAL: no key$"):
        await stack.task
    await stack.stop()
    assert not other.child.runs


async def test_the_telling_line_is_not_just_one_that_uvicorn_logs(small: SmallServices) -> None:
    words = "ERROR uvicorn.error: no such host\nINFO uvicorn.error: Finished"
    broken = small.one("broken", LAST_WORDS=words)
    with pytest.raises(EngineError, match=r"ended while starting: .* no such host$"):
        await broken.start()


async def test_a_service_that_refuses_its_settings_is_quoted_as_such(small: SmallServices) -> None:
    process = small.one("strict", LAST_WORDS="PARLEY_X is not set.", CODE="2")
    with pytest.raises(InvalidServiceSettings, match=r"^strict: PARLEY_X is not set\.$"):
        await process.start()


async def test_a_service_that_does_not_become_ready_says_what_it_misses(
    small: SmallServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_process, "FIRST_READY_SECONDS", 0.5)
    process = small.one("waiting", STATUS="503")
    try:
        with pytest.raises(EngineError, match=r"^waiting was not ready within .*event store"):
            await process.start()
    finally:
        await process.stop(2)


async def test_a_port_taken_by_another_is_told(small: SmallServices) -> None:
    spec = small.spec("late")
    port = int(spec.address.rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(EngineError, match=f"^late cannot listen on port {port}: another process"),
    ):
        await ServiceProcess(spec, small.data).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's variables")
async def test_a_service_gets_what_it_is_told_and_no_other_variable(
    alone: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "somebody's key")
    await alone.start()
    environment = environment_of(alone.child.pid)
    assert b"NAME=alone" in environment
    assert b"somebody's key" not in environment


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_log_that_has_grown_is_put_aside(
    alone: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_cli.engines.process.child_log.LARGEST", 4)
    await alone.start()
    alone.child.log.keep_small()
    assert alone.child.log.path.read_text() == ""
    assert alone.child.log.path.with_suffix(".log.1").read_text() == "it runs\n"
