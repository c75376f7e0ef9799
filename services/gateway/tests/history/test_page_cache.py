"""Page cache: what is stored and when it is trusted, with a fake clock."""

from typing import Any
from uuid import uuid4

import pytest

from parley_gateway.history.conditional_get import parse_page
from parley_gateway.history.page_cache import ENTRY_OVERHEAD_BYTES, PageCache, PageCacheSettings

ADA, EVE = ("default", "ada"), ("default", "eve")
SESSION, OTHER = uuid4(), uuid4()
MAX_BYTES = 10 * (ENTRY_OVERHEAD_BYTES + 100)


def cache(clock: Any) -> Any:
    settings = PageCacheSettings(max_bytes=MAX_BYTES)
    return PageCache(settings, read_timeout_seconds=10, settle_seconds=1, clock=clock)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Any:
    return Clock()


@pytest.fixture
def pages(clock: Any) -> Any:
    pages = cache(clock)
    pages.resume()
    return pages


def page(session_id: Any = SESSION, version: Any = 4, body: Any = b"{}") -> Any:
    made = parse_page(session_id, body, f'W/"{version}"')
    assert made is not None
    return made


def keep(pages: Any, person: Any = ADA, query: Any = b"", began: Any = None, **made: Any) -> Any:
    key = (person, b"/v1/history/x", query)
    pages.put(key, page(**made), pages.generation() if began is None else began)
    return key


def test_a_page_is_cached_for_its_owner_only(pages: Any) -> None:
    key = keep(pages)
    assert pages.get(key).body == b"{}"
    assert pages.get((EVE, *key[1:])) is None
    assert pages.get((ADA, key[1], b"limit=1")) is None


def test_a_change_invalidates_the_pages_of_its_session_only(pages: Any) -> None:
    first, second = keep(pages, query=b"a"), keep(pages, query=b"b")
    other = keep(pages, query=b"c", session_id=OTHER)
    pages.invalidate([SESSION])
    assert (pages.get(first), pages.get(second)) == (None, None)
    assert pages.get(other) is not None
    assert pages.bytes > 0


def test_a_page_read_before_or_shortly_after_a_change_is_not_cached(pages: Any, clock: Any) -> None:
    began = pages.generation()
    clock.now += 0.1
    pages.invalidate([SESSION])
    assert pages.get(keep(pages, began=began)) is None
    clock.now += 0.9
    pages.keepalive()
    # Another replica of history may not have heard of it.
    assert pages.get(keep(pages)) is None
    clock.now += 0.2
    assert pages.get(keep(pages)) is not None


def test_a_read_that_outlasts_the_record_of_changes_is_not_cached(pages: Any, clock: Any) -> None:
    began = pages.generation()
    pages.invalidate([SESSION])
    for _ in range(20):
        clock.now += 1
        pages.keepalive()
        pages.invalidate([OTHER])
    assert pages.get(keep(pages, began=began)) is None
    assert len(pages._changed_at) <= 2


def test_nothing_is_served_while_the_feed_is_silent(pages: Any, clock: Any) -> None:
    key = keep(pages)
    clock.now += 2.9
    pages.keepalive()
    clock.now += 2.9
    assert pages.get(key) is not None
    clock.now += 0.1
    assert pages.get(key) is None
    assert pages.get(keep(pages, query=b"other")) is None


def test_pages_cached_before_a_silence_of_the_feed_are_dropped(pages: Any, clock: Any) -> None:
    key, began = keep(pages), pages.generation()
    clock.now += 3
    pages.keepalive()
    assert pages.get(key) is None
    assert pages.get(keep(pages, began=began)) is None
    assert pages.get(keep(pages)) is not None


def test_a_disconnected_feed_empties_the_cache_and_stops_caching(pages: Any) -> None:
    key, began = keep(pages), pages.generation()
    pages.suspend()
    assert (pages.get(key), pages.bytes) == (None, 0)
    assert pages.get(keep(pages)) is None
    pages.resume()
    assert pages.get(key) is None
    assert pages.get(keep(pages, began=began - 0.001)) is None


def test_nothing_is_cached_before_the_feed_connects(clock: Any) -> None:
    pages = cache(clock)
    assert pages.get(keep(pages)) is None


def test_a_page_expires_after_half_a_minute(pages: Any, clock: Any) -> None:
    key = keep(pages)
    for _ in range(29):
        clock.now += 1
        pages.keepalive()
    assert pages.get(key) is not None
    clock.now += 1
    pages.keepalive()
    assert pages.get(key) is None


def test_erasing_all_sessions_drops_the_pages_of_the_owner_and_those_being_read(
    pages: Any, clock: Any
) -> None:
    began = pages.generation()
    mine, other = keep(pages), keep(pages, person=EVE)
    clock.now += 0.1
    pages.invalidate_owner(ADA)
    assert pages.get(mine) is None
    assert pages.get(other) is not None
    assert pages.get(keep(pages, began=began)) is None


def test_memory_is_bounded_and_recently_used_pages_stay(pages: Any) -> None:
    often = keep(pages, query=b"often", body=b"x" * 80)
    for number in range(1_000):
        keep(pages, query=b"%d" % number, session_id=uuid4(), body=b"x" * 80)
        assert pages.get(often) is not None
        assert pages.bytes <= MAX_BYTES
    assert len(pages._entries) == len(pages._sessions) <= 10


def test_a_newer_page_replaces_older_ones_and_never_the_reverse(pages: Any) -> None:
    first, second = keep(pages, query=b"a"), keep(pages, query=b"b")
    newer = keep(pages, query=b"c", version=5)
    assert (pages.get(first), pages.get(second)) == (None, None)
    assert pages.get(keep(pages, query=b"a", version=4)) is None
    assert pages.get(newer).version == 5


def test_a_large_page_is_not_cached_and_a_page_counts_once(pages: Any) -> None:
    assert pages.get(keep(pages, body=b"x" * 2**20)) is None
    for _ in range(100):
        keep(pages)
    assert pages.bytes < 2 * ENTRY_OVERHEAD_BYTES
