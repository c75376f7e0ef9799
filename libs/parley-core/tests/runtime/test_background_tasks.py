"""Background tasks end with their block, and do not fail silently."""

import asyncio

import pytest

from parley_core.runtime import background_tasks as module
from parley_core.runtime.background_tasks import background_tasks


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
