import asyncio

import pytest

from parley_core.runtime.single_flight_cache import SingleFlightCache
from parley_testing.eventually import eventually


class Source:
    """Counts its loads, and may block or fail."""

    def __init__(self) -> None:
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def load(self) -> int:
        self.loads += 1
        await self.gate.wait()
        if self.fails:
            raise RuntimeError
        return self.loads


async def test_concurrent_callers_of_a_key_share_one_load() -> None:
    cache, source = SingleFlightCache[str, int](10), Source()
    source.gate.clear()
    callers = [asyncio.create_task(cache.get("a", source.load)) for _ in range(5)]
    await eventually(lambda: source.loads)
    source.gate.set()
    assert await asyncio.gather(*callers) == [1] * 5
    assert await cache.get("a", source.load) == 1


async def test_an_expired_value_is_loaded_again() -> None:
    cache, source = SingleFlightCache[str, int](10, ttl_seconds=0), Source()
    assert await cache.get("a", source.load) == 1

    async def was_loaded_again() -> bool:
        return await cache.get("a", source.load) > 1

    await eventually(was_loaded_again)


async def test_a_cancelled_caller_does_not_cancel_the_load_of_the_others() -> None:
    cache, source = SingleFlightCache[str, int](10), Source()
    source.gate.clear()
    first, second = (asyncio.create_task(cache.get("a", source.load)) for _ in range(2))
    await eventually(lambda: source.loads)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.gate.set()
    assert await second == 1


async def test_a_failed_load_raises_for_every_caller_and_is_not_cached() -> None:
    cache, source = SingleFlightCache[str, int](10), Source()
    source.fails = True
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await cache.get("a", source.load)
    source.fails = False
    assert await cache.get("a", source.load) == 3


async def test_the_least_recently_used_key_is_evicted() -> None:
    cache, source = SingleFlightCache[str, int](2), Source()
    for key in ("a", "b", "a", "c"):
        await cache.get(key, source.load)
    assert (await cache.get("a", source.load), source.loads) == (1, 3)
    assert await cache.get("b", source.load) == 4


async def test_a_cleared_key_is_loaded_again() -> None:
    cache, source = SingleFlightCache[str, int](2), Source()
    await cache.get("a", source.load)
    cache.clear()
    assert await cache.get("a", source.load) == 2


async def test_values_are_evicted_by_their_size() -> None:
    cache, source = SingleFlightCache[str, int](10, size_of=lambda _: 4), Source()
    for key in ("a", "b", "c"):
        await cache.get(key, source.load)
        await asyncio.sleep(0)
    assert await cache.get("c", source.load) == 3
    assert await cache.get("b", source.load) == 2
    assert await cache.get("a", source.load) == 4


async def test_a_value_larger_than_the_cache_is_not_cached() -> None:
    cache, source = SingleFlightCache[str, int](10, size_of=lambda _: 11), Source()
    assert await cache.get("a", source.load) == 1
    await asyncio.sleep(0)
    assert await cache.get("a", source.load) == 2
