"""Background tasks end with their block and do not fail silently; loops start again."""

import asyncio

import pytest

from parley_core.runtime import background_tasks as module
from parley_core.runtime.background_tasks import background_loops, background_tasks


async def test_a_task_is_cancelled_at_the_end_of_the_block() -> None:
    ended: list[asyncio.Task[None]] = []
    async with background_tasks(asyncio.sleep(60), on_end=ended.append):
        await asyncio.sleep(0)
        assert not ended
    [task] = ended
    assert task.cancelled()


async def test_the_failure_of_a_task_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise RuntimeError("what a person wrote")

    async with background_tasks(fail()):
        await asyncio.sleep(0.01)
    [entry] = [each for each in caplog.records if each.name == module.__name__]
    assert entry.getMessage() == "a background task failed: RuntimeError"
    assert "what a person wrote" not in caplog.text


async def test_a_loop_that_fails_is_logged_and_starts_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    runs, is_third = 0, asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError("what a person wrote")
        is_third.set()
        await asyncio.sleep(60)

    async with background_loops(loop), asyncio.timeout(5):
        await is_third.wait()
    messages = [each.getMessage() for each in caplog.records if each.name == module.__name__]
    assert messages == ["a background loop failed and starts again: RuntimeError"] * 2
    assert "what a person wrote" not in caplog.text


async def test_a_loop_that_ends_stays_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    runs: list[None] = []

    async def loop() -> None:
        runs.append(None)

    async with background_loops(loop):
        await asyncio.sleep(0.01)
    assert len(runs) == 1
