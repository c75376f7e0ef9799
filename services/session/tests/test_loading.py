"""A session is loaded from what this process keeps of it and what was stored since."""

from typing import Any

import pytest
from session_peers.appending import execute, start
from session_peers.commands import complete_reply, submit_message
from session_peers.service import MASTER_KEY

from parley_core.crypto.master_keys import MasterKeys
from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session.state import BrokenStream
from parley_session.storage.event_store import EventStore

KEYS = MasterKeys.parse(MASTER_KEY)


class CountingPool:
    """Counts the rows of events that were read."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self.read = pool, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self._pool.fetch(*arguments)
        self.read += len(rows)
        return rows


async def test_a_load_folds_only_what_is_new(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, most_sessions_kept=100)  # type: ignore[arg-type]
    elsewhere = EventStore(pool, KEYS, most_sessions_kept=100)
    held = await start(elsewhere)
    await store.load(held.session.id)
    assert counting.read == 1
    await store.load(held.session.id)
    assert counting.read == 1
    await execute(elsewhere, held.session.id, submit_message())
    loaded = await store.load(held.session.id)
    assert counting.read == 3
    assert loaded is not None
    assert loaded.session.version == 3


async def test_what_this_process_appended_is_not_read_again(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, most_sessions_kept=100)  # type: ignore[arg-type]
    held = await start(store)
    await execute(store, held.session.id, submit_message())
    loaded = await store.load(held.session.id)
    assert loaded is not None
    assert (loaded.session.version, counting.read) == (3, 0)


async def test_events_that_were_appended_here_are_as_those_that_are_read(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, most_sessions_kept=100)  # type: ignore[arg-type]
    elsewhere = EventStore(pool, KEYS, most_sessions_kept=100)
    held, command = await start(store), submit_message()
    await execute(store, held.session.id, command)
    appended = await store.events_at(held.session.id, [3, 2, 3])
    assert counting.read == 0
    assert appended == await elsewhere.events_at(held.session.id, [2, 3])
    await execute(elsewhere, held.session.id, complete_reply(command.turn_id))
    everything = await store.events_at(held.session.id, [2, 3, 4])
    assert (len(everything), counting.read) == (3, 3)


async def test_a_session_that_is_kept_no_longer_is_read_again(pool: Pool) -> None:
    counting = CountingPool(pool)
    store = EventStore(counting, KEYS, most_sessions_kept=2)  # type: ignore[arg-type]
    held = [await start(store) for _ in range(3)]
    assert await store.load(held[2].session.id) == held[2]
    assert counting.read == 0
    assert await store.load(held[0].session.id) == held[0]
    assert counting.read == 1


async def test_a_long_session_is_loaded_whole(pool: Pool) -> None:
    store = EventStore(pool, KEYS, most_sessions_kept=1)
    held = await start(store)
    for _ in range(150):
        command = submit_message()
        await execute(store, held.session.id, command)
        last = await execute(store, held.session.id, complete_reply(command.turn_id))
    afresh = EventStore(pool, KEYS, most_sessions_kept=1)
    assert await afresh.load(held.session.id) == last


async def test_a_session_whose_events_are_missing_is_broken(pool: Pool) -> None:
    held = await start(EventStore(pool, KEYS, most_sessions_kept=1))
    await pool.execute("DELETE FROM events")
    with pytest.raises(BrokenStream):
        await EventStore(pool, KEYS, most_sessions_kept=1).load(held.session.id)
