"""Loading a session from the cache and from newer events."""

import pytest
from session_support.appending import execute, start
from session_support.commands import complete_reply, submit_message
from session_support.counting_pool import CountingPool
from session_support.service import MASTER_KEY, keyring_of

from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session.state import BrokenStream
from parley_session.storage.event_store import EventStore

KEYS = keyring_of(MASTER_KEY)


async def test_a_load_folds_only_new_events(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, max_cache_bytes=1_000_000)  # type: ignore[arg-type]
    elsewhere = EventStore(pool, KEYS, max_cache_bytes=1_000_000)
    loaded = await start(elsewhere)
    await store.load(loaded.session.id)
    assert counting.read == 1
    await store.load(loaded.session.id)
    assert counting.read == 1
    await execute(elsewhere, loaded.session.id, submit_message())
    latest = await store.load(loaded.session.id)
    assert counting.read == 3
    assert latest is not None
    assert latest.session.version == 3


async def test_events_appended_by_this_process_are_not_read_again(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, max_cache_bytes=1_000_000)  # type: ignore[arg-type]
    loaded = await start(store)
    await execute(store, loaded.session.id, submit_message())
    latest = await store.load(loaded.session.id)
    assert latest is not None
    assert (latest.session.version, counting.read) == (3, 0)


async def test_cached_events_equal_stored_ones(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, max_cache_bytes=1_000_000)  # type: ignore[arg-type]
    elsewhere = EventStore(pool, KEYS, max_cache_bytes=1_000_000)
    loaded, command = await start(store), submit_message()
    await execute(store, loaded.session.id, command)
    appended = await store.events_at(loaded.session.id, [3, 2, 3])
    assert counting.read == 0
    assert appended == await elsewhere.events_at(loaded.session.id, [2, 3])
    await execute(elsewhere, loaded.session.id, complete_reply(command.turn_id))
    everything = await store.events_at(loaded.session.id, [2, 3, 4])
    assert (len(everything), counting.read) == (3, 3)


async def test_an_evicted_session_is_read_again(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, max_cache_bytes=3_000)  # type: ignore[arg-type]
    loaded = [await start(store) for _ in range(3)]
    assert await store.load(loaded[2].session.id) == loaded[2]
    assert counting.read == 0
    assert await store.load(loaded[0].session.id) == loaded[0]
    assert counting.read == 1


async def test_a_long_session_is_loaded_completely(pool: Pool) -> None:
    store = EventStore(pool, KEYS, max_cache_bytes=1_000_000)
    loaded = await start(store)
    for _ in range(150):
        command = submit_message()
        await execute(store, loaded.session.id, command)
        last = await execute(store, loaded.session.id, complete_reply(command.turn_id))
    afresh = EventStore(pool, KEYS, max_cache_bytes=1_000_000)
    assert await afresh.load(loaded.session.id) == last


async def test_a_session_whose_events_are_missing_is_broken(pool: Pool) -> None:
    loaded = await start(EventStore(pool, KEYS, max_cache_bytes=1_000_000))
    await pool.execute("DELETE FROM events")
    with pytest.raises(BrokenStream):
        await EventStore(pool, KEYS, max_cache_bytes=1_000_000).load(loaded.session.id)
