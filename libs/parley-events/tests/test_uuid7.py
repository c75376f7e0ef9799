from datetime import UTC, datetime, timedelta
from uuid import UUID

from parley_events.uuid7 import milliseconds_of, uuid7_after

NOW_MS = 1_790_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
ALL_ONES = (1 << 74) - 1


def test_identifier_is_a_version_7_uuid_of_its_millisecond() -> None:
    identifier = uuid7_after(None, NOW, 12345)
    assert (identifier.version, identifier.variant) == (7, UUID(int=0x8 << 60).variant)
    assert milliseconds_of(identifier) == NOW_MS


def test_identifiers_of_one_millisecond_increase() -> None:
    first = uuid7_after(None, NOW, 5)
    assert uuid7_after(first, NOW, 0) > first


def test_identifiers_increase_when_the_clock_goes_back() -> None:
    first = uuid7_after(None, NOW, 5)
    second = uuid7_after(first, NOW - timedelta(minutes=1), 0)
    assert second > first
    assert milliseconds_of(second) == NOW_MS


def test_an_exhausted_millisecond_borrows_the_next_one() -> None:
    last = uuid7_after(None, NOW, ALL_ONES)
    following = uuid7_after(last, NOW, 0)
    assert following > last
    assert milliseconds_of(following) == NOW_MS + 1
    assert following.version == 7
