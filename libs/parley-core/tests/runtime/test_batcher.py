"""Batches of lookups: one load at a time, and no value older than its request."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from parley_core.runtime.batcher import Batcher
from parley_testing.eventually import eventually


class Loads:
    """Records the loads; each waits until it is allowed to end."""

    def __init__(self) -> None:
        self.keys: list[list[str]] = []
        self.allowed = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def load(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.keys.append([*keys])
        number = len(self.keys)
        await self.allowed.acquire()
        if self.error is not None:
            raise self.error
        return {key: f"{key}{number}" for key in keys}


@pytest.fixture
def loads() -> Loads:
    return Loads()


async def all_of(*requests: "asyncio.Task[str]") -> list[str]:
    async with asyncio.timeout(15):
        return [await request for request in requests]


async def test_requests_of_one_turn_of_the_loop_share_one_load(loads: Loads) -> None:
    batcher = Batcher(loads.load, max_keys=10)
    loads.allowed.release()
    requests = [asyncio.create_task(batcher.get(key)) for key in "abab"]
    assert await all_of(*requests) == ["a1", "b1", "a1", "b1"]
    assert loads.keys == [["a", "b"]]


async def test_a_request_during_a_load_of_its_key_waits_for_the_next_load(loads: Loads) -> None:
    batcher = Batcher(loads.load, max_keys=10)
    first = asyncio.create_task(batcher.get("a"))
    await eventually(lambda: loads.keys)
    second = asyncio.create_task(batcher.get("a"))
    loads.allowed.release()
    assert await all_of(first) == ["a1"]
    assert not second.done()
    loads.allowed.release()
    assert await all_of(second) == ["a2"]


async def test_a_load_has_at_most_the_maximum_of_keys_and_runs_alone(loads: Loads) -> None:
    batcher = Batcher(loads.load, max_keys=2)
    requests = [asyncio.create_task(batcher.get(key)) for key in "abcde"]
    for number in range(1, 4):
        await eventually(lambda: loads.keys)
        assert len(loads.keys) <= number
        loads.allowed.release()
    assert await all_of(*requests) == ["a1", "b1", "c2", "d2", "e3"]
    assert loads.keys == [["a", "b"], ["c", "d"], ["e"]]


async def test_an_error_reaches_the_requests_of_its_batch_only(loads: Loads) -> None:
    batcher = Batcher(loads.load, max_keys=10)
    failing = [asyncio.create_task(batcher.get(key)) for key in "ab"]
    await eventually(lambda: loads.keys)
    later = asyncio.create_task(batcher.get("a"))
    loads.error = LookupError("down")
    loads.allowed.release()
    for request in failing:
        with pytest.raises(LookupError):
            await all_of(request)
    loads.error = None
    loads.allowed.release()
    assert await all_of(later) == ["a2"]


async def test_a_cancelled_request_does_not_disturb_others_of_its_key(loads: Loads) -> None:
    batcher = Batcher(loads.load, max_keys=10)
    cancelled, waiting = (asyncio.create_task(batcher.get("a")) for _ in range(2))
    await eventually(lambda: loads.keys)
    cancelled.cancel()
    loads.allowed.release()
    assert await all_of(waiting) == ["a1"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
