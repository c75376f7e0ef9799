"""The key cache: lifetime, eviction, batching and shared loads."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound, Unavailable
from parley_history.session_service.key_cache import TTL_SECONDS, DataKeyCache
from parley_testing.eventually import eventually


class KeyService:
    """Simulates the session service; responds when `unblocked` is set."""

    def __init__(self, *session_ids: Any, erased: Any = ()) -> None:
        self.stored = {id: DataKey.generate() for id in session_ids} | dict.fromkeys(erased)
        self.requested: list[UUID] = []
        self.calls: list[int] = []
        self.unavailable = False
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    async def keys(self, session_ids: Any, request_id: Any) -> Any:
        self.requested += session_ids
        self.calls.append(len(session_ids))
        await self.unblocked.wait()
        if self.unavailable:
            raise Unavailable("unavailable")
        return {id: self.stored[id] for id in session_ids if id in self.stored}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def keys_of(service: Any, max_keys: Any = 10, clock: Any = None) -> DataKeyCache:
    return DataKeyCache(service.keys, max_keys=max_keys, clock=clock or Clock())


A, B, C = (uuid4() for _ in range(3))


async def test_a_key_is_cached_for_its_lifetime_and_no_longer() -> None:
    service, clock = KeyService(A), Clock()
    keys = keys_of(service, clock=clock)
    assert await keys.get(A, "r") == service.stored[A]
    clock.now = TTL_SECONDS - 0.1
    await keys.get(A, "r")
    assert service.requested == [A]
    clock.now = TTL_SECONDS
    await keys.get(A, "r")
    assert service.requested == [A, A]


async def test_the_lifetime_of_a_key_starts_before_its_load() -> None:
    service, clock = KeyService(A), Clock()
    keys = keys_of(service, clock=clock)
    service.unblocked.clear()
    loading = asyncio.create_task(keys.get(A, "r"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now = 5
    service.unblocked.set()
    await loading
    clock.now = TTL_SECONDS + 1
    await keys.get(A, "r")
    assert service.requested == [A, A]


async def test_the_least_recently_used_key_is_evicted() -> None:
    service = KeyService(A, B, C)
    keys = keys_of(service, max_keys=2)
    for session_id in (A, B, A, C, A, B):
        await keys.get(session_id, "r")
    assert service.requested == [A, B, C, B]


async def test_concurrent_requests_for_a_key_share_one_call_even_if_the_first_is_cancelled() -> (
    None
):
    service = KeyService(A)
    service.unblocked.clear()
    keys = keys_of(service)
    first, *others = [asyncio.create_task(keys.get(A, "r")) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    service.unblocked.set()
    assert await asyncio.gather(*others) == [service.stored[A]] * 4
    assert service.requested == [A]


async def test_a_failed_load_reaches_all_its_requests_and_is_not_cached() -> None:
    service = KeyService(A)
    service.unavailable = True
    keys = keys_of(service)
    outcomes = await asyncio.gather(*(keys.get(A, "r") for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    service.unavailable = False
    assert await keys.get(A, "r") == service.stored[A]
    assert service.requested == [A, A]


async def test_a_failed_load_without_waiting_requests_causes_no_warning() -> None:
    service = KeyService(A)
    service.unavailable = True
    service.unblocked.clear()
    keys = keys_of(service)
    loading = asyncio.create_task(keys.get(A, "r"))
    await asyncio.sleep(0)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    service.unblocked.set()
    # The test fails if the exception was never retrieved.
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_an_erased_or_unknown_session_has_no_key() -> None:
    service = KeyService(A, erased=[B])
    keys = keys_of(service)
    for session_id in (B, C):
        with pytest.raises(NotFound) as error:
            await keys.get(session_id, "r")
        assert error.value.code == "session_not_found"


async def test_missing_keys_are_loaded_a_hundred_at_a_time() -> None:
    many = [uuid4() for _ in range(150)]
    service = KeyService(*many, erased=[B])
    keys = keys_of(service, max_keys=1_000)
    await keys.get(many[0], "r")
    found = await keys.get_many([*many, B, C], "r")
    assert found == {id: service.stored[id] for id in many}
    assert service.requested == [*many, B, C]
    assert service.calls == [1, 100, 51]


async def test_an_evicted_key_is_loaded_again_even_if_its_load_was_in_progress() -> None:
    service = KeyService(A, B)
    keys = keys_of(service)
    await keys.get(A, "r")
    keys.evict([A])
    assert keys.cached_ids == []
    service.unblocked.clear()
    loading = asyncio.create_task(keys.get(A, "r"))
    await eventually(lambda: service.requested == [A, A])
    keys.evict([A])
    service.unblocked.set()
    await loading
    assert keys.cached_ids == []
