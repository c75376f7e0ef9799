"""Cache of verified tokens: expiry and bounds."""

from typing import Any

import pytest

from parley_core.auth.principal import Principal
from parley_gateway.auth.token_cache import VerifiedTokenCache

ADA = Principal("default", "ada", frozenset({"admin"}))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Any:
    return Clock()


@pytest.fixture
def tokens(clock: Any) -> Any:
    return VerifiedTokenCache(60, max_entries=2, clock=clock)


def test_a_cached_token_is_found_by_its_exact_header_only(tokens: Any) -> None:
    tokens.put(b"Bearer a", ADA, expires_at=2_000)
    assert tokens.get(b"Bearer a").principal == ADA
    assert tokens.get(b"Bearer a").owner == ("default", "ada")
    for other in (b"Bearer b", b"bearer a", b"Bearer a ", b""):
        assert tokens.get(other) is None


@pytest.mark.parametrize(("ends_at", "until"), [(1_010, 1_010), (9_000, 1_060)])
def test_an_entry_expires_with_its_token_and_after_a_minute_at_most(
    tokens: Any, clock: Any, ends_at: Any, until: Any
) -> None:
    tokens.put(b"a", ADA, ends_at)
    clock.now = until - 0.1
    assert tokens.get(b"a") is not None
    clock.now = until
    assert tokens.get(b"a") is None


def test_an_expired_token_is_not_cached_within_its_leeway(tokens: Any) -> None:
    tokens.put(b"a", ADA, expires_at=999)
    assert tokens.get(b"a") is None


def test_the_cache_is_bounded_and_recently_used_tokens_stay(tokens: Any) -> None:
    for number in range(100):
        tokens.put(b"often", ADA, 2_000)
        tokens.put(b"%d" % number, ADA, 2_000)
        assert tokens.get(b"often") is not None
    assert tokens.get(b"98") is None
    assert len(tokens._entries) == 2


def test_clearing_the_cache_drops_all_tokens(tokens: Any) -> None:
    tokens.put(b"a", ADA, 2_000)
    tokens.clear()
    assert tokens.get(b"a") is None
