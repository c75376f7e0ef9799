import asyncio
from uuid import uuid4

import pytest

from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound, Unavailable
from parley_history.session_service.key_cache import DataKeyCache
from parley_testing.eventually import eventually


class Holder:
    """Session, as far as keys go: answers when `go_on` is set."""

    def __init__(self, *session_ids, erased=()) -> None:
        self.held = {id: DataKey.generate() for id in session_ids} | dict.fromkeys(erased)
        self.asked, self.calls = [], []
        self.away = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def keys(self, session_ids, request_id):
        self.asked += session_ids
        self.calls.append(len(session_ids))
        await self.go_on.wait()
        if self.away:
            raise Unavailable("away")
        return {id: self.held[id] for id in session_ids if id in self.held}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def keys_of(holder, most=10, clock=None) -> DataKeyCache:
    return DataKeyCache(holder.keys, most=most, seconds=60, clock=clock or Clock())


A, B, C = (uuid4() for _ in range(3))


async def test_a_key_is_kept_for_its_time_and_no_longer():
    holder, clock = Holder(A), Clock()
    keys = keys_of(holder, clock=clock)
    assert await keys.of(A, "r") == holder.held[A]
    clock.now = 59.9
    await keys.of(A, "r")
    assert holder.asked == [A]
    clock.now = 60
    await keys.of(A, "r")
    assert holder.asked == [A, A]


async def test_the_time_of_a_key_counts_from_before_it_was_asked_for():
    holder, clock = Holder(A), Clock()
    keys = keys_of(holder, clock=clock)
    holder.go_on.clear()
    asking = asyncio.create_task(keys.of(A, "r"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now = 5
    holder.go_on.set()
    await asking
    clock.now = 61
    await keys.of(A, "r")
    assert holder.asked == [A, A]


async def test_the_key_that_was_not_used_for_longest_makes_room():
    holder = Holder(A, B, C)
    keys = keys_of(holder, most=2)
    for session_id in (A, B, A, C, A, B):
        await keys.of(session_id, "r")
    assert holder.asked == [A, B, C, B]


async def test_requests_at_once_for_one_key_share_one_call_even_when_the_first_goes_away():
    holder = Holder(A)
    holder.go_on.clear()
    keys = keys_of(holder)
    first, *others = [asyncio.create_task(keys.of(A, "r")) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    holder.go_on.set()
    assert await asyncio.gather(*others) == [holder.held[A]] * 4
    assert holder.asked == [A]


async def test_a_failure_is_told_to_all_who_share_it_and_not_kept():
    holder = Holder(A)
    holder.away = True
    keys = keys_of(holder)
    outcomes = await asyncio.gather(*(keys.of(A, "r") for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    holder.away = False
    assert await keys.of(A, "r") == holder.held[A]
    assert holder.asked == [A, A]


async def test_a_failure_that_nobody_waits_for_any_more_is_no_warning():
    holder = Holder(A)
    holder.away = True
    holder.go_on.clear()
    keys = keys_of(holder)
    asking = asyncio.create_task(keys.of(A, "r"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    holder.go_on.set()
    # The run fails on an exception that was never retrieved.
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_an_erased_or_unknown_session_has_no_key():
    holder = Holder(A, erased=[B])
    keys = keys_of(holder)
    for session_id in (B, C):
        with pytest.raises(NotFound, match="no such session") as refused:
            await keys.of(session_id, "r")
        assert refused.value.code == "session_not_found"


async def test_many_keys_are_asked_for_a_hundred_at_a_time_and_only_those_that_are_not_kept():
    many = [uuid4() for _ in range(150)]
    holder = Holder(*many, erased=[B])
    keys = keys_of(holder, most=1_000)
    await keys.of(many[0], "r")
    found = await keys.of_many([*many, B, C], "r")
    assert found == {id: holder.held[id] for id in many}
    assert holder.asked == [*many, B, C]
    assert holder.calls == [1, 100, 51]


async def test_a_dropped_key_is_asked_for_again_even_when_it_was_on_its_way():
    holder = Holder(A, B)
    keys = keys_of(holder)
    await keys.of(A, "r")
    keys.drop([A])
    assert keys.kept == []
    holder.go_on.clear()
    asking = asyncio.create_task(keys.of(A, "r"))
    await eventually(lambda: holder.asked == [A, A])
    keys.drop([A])
    holder.go_on.set()
    await asking
    assert keys.kept == []
