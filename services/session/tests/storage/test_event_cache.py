"""The cache of folded sessions is limited by the memory that they take."""

import tracemalloc
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from msgspec.structs import replace

from parley_session.domain.session.state import MessageNode, Session
from parley_session.storage.event_cache import SessionCache, estimated_bytes


def session(messages: int) -> Session:
    """A session whose objects are all its own, as after a fold of decoded events."""
    ids = [uuid4() for _ in range(messages)]
    nodes = {
        id: MessageNode(
            1_000 + index, "user", ids[index - 1] if index else None, 5_000 + index, 300
        )
        for index, id in enumerate(ids)
    }
    turns = {uuid4(): "completed" for _ in range(messages // 2)}
    return Session(
        id=uuid4(),
        owner="".join(["ada", "@example.com"]),
        tenant="".join(["default", "-tenant"]),
        assistant_id="".join(["help", "er"]),
        assistant_version=1,
        version=2_000,
        last_event_id=uuid4(),
        updated_at=datetime.now(UTC),
        messages=nodes,
        ended_turns=turns,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("messages", [0, 4, 100, 5_000])
def test_the_estimate_is_between_the_memory_of_a_session_and_twice_of_it(messages: int) -> None:
    count = 200 if messages <= 100 else 2
    tracemalloc.start()
    sessions = [session(messages) for _ in range(count)]
    measured, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert measured <= sum(map(estimated_bytes, sessions)) <= 2 * measured


def test_a_long_session_takes_the_place_of_many_short_ones() -> None:
    short = [session(2) for _ in range(10)]
    long = session(100)
    cache = SessionCache(sum(map(estimated_bytes, [*short, long])) - 1)
    for each in [*short, long]:
        cache.add(each)
    assert cache.get(short[0].id) is None
    assert cache.get(short[1].id) is short[1]
    assert cache.get(long.id) is long


def test_a_session_that_outgrew_the_cache_is_no_longer_cached() -> None:
    small = session(2)
    cache = SessionCache(estimated_bytes(small))
    cache.add(small)
    large = session(3)
    cache.add(replace(large, id=small.id))
    assert cache.get(small.id) is None
