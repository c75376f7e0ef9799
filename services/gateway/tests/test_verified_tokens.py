"""How long a token is believed that was verified, and of how many that is remembered."""

import pytest

from parley_core.auth.principal import Principal
from parley_gateway.auth.token_cache import VerifiedTokenCache

ADA = Principal("default", "ada", frozenset({"admin"}))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return VerifiedTokenCache(60, max_entries=2, clock=clock)


def test_it_is_believed_for_its_own_person_alone(tokens):
    tokens.put(b"Bearer a", ADA, expires_at=2_000)
    assert tokens.get(b"Bearer a").principal == ADA
    assert tokens.get(b"Bearer a").owner == ("default", "ada")
    for other in (b"Bearer b", b"bearer a", b"Bearer a ", b""):
        assert tokens.get(other) is None


@pytest.mark.parametrize(("ends_at", "until"), [(1_010, 1_010), (9_000, 1_060)])
def test_it_is_believed_until_its_end_and_for_a_minute_at_most(tokens, clock, ends_at, until):
    tokens.put(b"a", ADA, ends_at)
    clock.now = until - 0.1
    assert tokens.get(b"a") is not None
    clock.now = until
    assert tokens.get(b"a") is None


def test_one_that_has_ended_is_not_remembered_though_its_leeway_lasts(tokens):
    tokens.put(b"a", ADA, expires_at=999)
    assert tokens.get(b"a") is None


def test_those_that_are_used_stay_and_there_are_only_so_many(tokens):
    for number in range(100):
        tokens.put(b"often", ADA, 2_000)
        tokens.put(b"%d" % number, ADA, 2_000)
        assert tokens.get(b"often") is not None
    assert tokens.get(b"98") is None
    assert len(tokens._entries) == 2


def test_all_are_forgotten_when_keys_change(tokens):
    tokens.put(b"a", ADA, 2_000)
    tokens.clear()
    assert tokens.get(b"a") is None
