"""What was read is kept for a while, and read once for all who ask at the same time."""

import asyncio

import pytest

from parley_session.application.assistants.single_flight_cache import SingleFlightCache
from parley_testing.eventually import eventually


class Source:
    """Counts its reads, and may be slow or fail."""

    def __init__(self) -> None:
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def read(self) -> int:
        self.reads += 1
        await self.open.wait()
        if self.fails:
            raise RuntimeError
        return self.reads


async def test_one_read_is_for_all_who_ask_at_the_same_time() -> None:
    kept, source = SingleFlightCache[str, int](10), Source()
    source.open.clear()
    asking = [asyncio.create_task(kept.get("a", source.read)) for _ in range(5)]
    await eventually(lambda: source.reads)
    source.open.set()
    assert await asyncio.gather(*asking) == [1] * 5
    assert await kept.get("a", source.read) == 1


async def test_what_was_read_too_long_ago_is_read_again() -> None:
    kept, source = SingleFlightCache[str, int](10, seconds=0), Source()
    assert await kept.get("a", source.read) == 1

    async def read_again() -> bool:
        return await kept.get("a", source.read) > 1

    await eventually(read_again)


async def test_whoever_leaves_takes_nothing_from_the_others() -> None:
    kept, source = SingleFlightCache[str, int](10), Source()
    source.open.clear()
    first, second = (asyncio.create_task(kept.get("a", source.read)) for _ in range(2))
    await eventually(lambda: source.reads)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.open.set()
    assert await second == 1


async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    kept, source = SingleFlightCache[str, int](10), Source()
    source.fails = True
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await kept.get("a", source.read)
    source.fails = False
    assert await kept.get("a", source.read) == 3


async def test_what_was_asked_for_longest_ago_makes_room() -> None:
    kept, source = SingleFlightCache[str, int](2), Source()
    for key in ("a", "b", "a", "c"):
        await kept.get(key, source.read)
    assert (await kept.get("a", source.read), source.reads) == (1, 3)
    assert await kept.get("b", source.read) == 4


async def test_what_is_cleared_is_read_again() -> None:
    kept, source = SingleFlightCache[str, int](2), Source()
    await kept.get("a", source.read)
    kept.clear()
    assert await kept.get("a", source.read) == 2
