"""Page cache: what is stored and for how long, with a fake clock."""

from typing import Any
from uuid import uuid4

import pytest

from parley_gateway.history.conditional_get import parse_page
from parley_gateway.history.page_cache import ENTRY_OVERHEAD_BYTES, PageCache, PageCacheSettings

ADA, EVE = ("default", "ada"), ("default", "eve")
SESSION = uuid4()
MAX_BYTES = 10 * (ENTRY_OVERHEAD_BYTES + 100)


def cache(clock: Any) -> Any:
    settings = PageCacheSettings(max_bytes=MAX_BYTES)
    return PageCache(settings, clock=clock)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Any:
    return Clock()


@pytest.fixture
def pages(clock: Any) -> Any:
    return cache(clock)


def page(session_id: Any = SESSION, version: Any = 4, body: Any = b"{}") -> Any:
    made = parse_page(session_id, body, f'W/"{version}"')
    assert made is not None
    return made


def keep(pages: Any, person: Any = ADA, query: Any = b"", **made: Any) -> Any:
    key = (person, b"/v1/history/x", query)
    pages.put(key, page(**made))
    return key


def test_a_page_is_cached_for_its_owner_only(pages: Any) -> None:
    key = keep(pages)
    assert pages.get(key).body == b"{}"
    assert pages.get((EVE, *key[1:])) is None
    assert pages.get((ADA, key[1], b"limit=1")) is None


def test_a_page_expires_after_half_a_minute(pages: Any, clock: Any) -> None:
    key = keep(pages)
    clock.now += 29
    assert pages.get(key) is not None
    clock.now += 1
    assert pages.get(key) is None


def test_memory_is_bounded_and_recently_used_pages_stay(pages: Any) -> None:
    often = keep(pages, query=b"often", body=b"x" * 80)
    for number in range(1_000):
        keep(pages, query=b"%d" % number, session_id=uuid4(), body=b"x" * 80)
        assert pages.get(often) is not None
        assert pages.bytes <= MAX_BYTES
    assert len(pages._entries) <= 10


def test_a_newer_page_replaces_an_older_one_and_never_the_reverse(pages: Any) -> None:
    key = keep(pages, version=4)
    for version in (5, 4):
        keep(pages, version=version)
        assert pages.get(key).version == 5


def test_a_large_page_is_not_cached_and_a_page_counts_once(pages: Any) -> None:
    assert pages.get(keep(pages, body=b"x" * 2**20)) is None
    for _ in range(100):
        keep(pages)
    assert pages.bytes < 2 * ENTRY_OVERHEAD_BYTES
