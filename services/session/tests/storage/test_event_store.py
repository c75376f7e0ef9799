"""The event store on Postgres: appends are atomic, and concurrent ones are fenced."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from session_support.appending import execute, start
from session_support.client import ADA
from session_support.commands import complete_reply, submit_message
from session_support.conversation import MOMENT, as_long_as_sealed
from session_support.service import MASTER_KEY, keyring_of

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import unseal
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import EventTooLarge, encode
from parley_events.session import Event, MessageSubmitted
from parley_session.application.idempotency import idempotent_request
from parley_session.domain.session.commands import (
    FailReply,
    RequestCancel,
)
from parley_session.domain.session.decide import decide
from parley_session.storage.event_rows import event_from_row
from parley_session.storage.event_store import EventStore, LoadedSession

KEYS = keyring_of(MASTER_KEY)
ZOE = Caller(Principal("Größe", 'Zoë "\\ 🎈'), "req-2")
TABLES = ("sessions", "events", "outbox", "turns", "remembered_requests")


@pytest.fixture
async def store(pool: Pool) -> EventStore:
    return EventStore(pool, KEYS, max_cache_bytes=1_000_000)


@pytest.fixture
async def started(store: EventStore) -> LoadedSession:
    return await start(store)


def decided(loaded: LoadedSession) -> list[Event]:
    """The events of a submitted message."""
    return decide(loaded.session, submit_message(), MOMENT, as_long_as_sealed)


async def counts(pool: Pool) -> dict[str, int]:
    return {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_an_append_writes_session_events_outbox_and_turn_in_one_commit(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    command = submit_message()
    await execute(store, started.session.id, command)
    written = await pool.fetch(
        """
        SELECT xmin::text AS transaction FROM sessions UNION ALL
        SELECT xmin::text FROM events WHERE sequence > 1 UNION ALL
        SELECT xmin::text FROM outbox WHERE sequence > 1 UNION ALL
        SELECT xmin::text FROM turns
        """
    )
    assert len(written) == 1 + 2 + 2 + 1
    assert len({row["transaction"] for row in written}) == 1
    turn = await pool.fetchrow("SELECT * FROM turns")
    assert turn is not None
    assert (turn["id"], turn["session_id"]) == (command.turn_id, started.session.id)
    assert (turn["message_sequence"], turn["requested_sequence"], turn["ended_sequence"]) == (
        2,
        3,
        None,
    )


async def test_one_of_concurrent_appends_succeeds(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    attempts = [store.append(started, decided(started), key=started.key) for _ in range(10)]
    outcomes = await asyncio.gather(*attempts)
    assert sum(outcome is not None for outcome in outcomes) == 1
    assert await counts(pool) == {
        "sessions": 1,
        "events": 3,
        "outbox": 3,
        "turns": 1,
        "remembered_requests": 0,
    }


async def test_one_of_concurrent_starts_with_one_id_succeeds(store: EventStore, pool: Pool) -> None:
    session_id = uuid4()
    starts = [start(store, session_id=session_id) for _ in range(10)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(outcome, LoadedSession) for outcome in outcomes) == 1
    assert (await counts(pool))["events"] == 1


async def test_an_append_to_an_older_version_stores_nothing(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    late = decided(started)
    command = submit_message()
    await execute(store, started.session.id, command)
    await execute(store, started.session.id, complete_reply(command.turn_id))
    before = await counts(pool)
    assert await store.append(started, late, key=started.key) is None
    assert await counts(pool) == before


async def test_an_event_that_is_too_large_stores_nothing(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    before = await counts(pool)
    # Over 768 KiB once sealed and encoded in base64.
    with pytest.raises(EventTooLarge):
        await execute(store, started.session.id, submit_message("x" * 600 * 1024))
    assert await counts(pool) == before
    reloaded = await store.load(started.session.id)
    assert reloaded is not None
    assert reloaded.session.version == 1


async def test_an_append_with_a_recorded_request_stores_nothing(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    request = idempotent_request(ADA, "POST", "/x", "k1", {"content": "hello"})
    assert request is not None
    other = await start(store)
    first = request.to_record(started.key, started.session.id, None)
    second = request.to_record(other.key, other.session.id, None)
    assert await store.append(started, decided(started), key=started.key, idempotency_record=first)
    before = await counts(pool)
    assert before["remembered_requests"] == 1
    assert (
        await store.append(other, decided(other), key=other.key, idempotency_record=second) is None
    )
    assert await counts(pool) == before
    recalled = await store.find_idempotency_record(request.digest)
    assert recalled is not None
    assert recalled[0] == first


async def test_an_idempotency_record_is_part_of_the_commit(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    request = idempotent_request(ADA, "POST", "/x", "k1", {})
    assert request is not None
    late, idempotency_record = (
        decided(started),
        request.to_record(started.key, started.session.id, None),
    )
    await store.append(started, decided(started), key=started.key)
    assert (
        await store.append(started, late, key=started.key, idempotency_record=idempotency_record)
        is None
    )
    assert await store.find_idempotency_record(request.digest) is None


async def test_stored_data_is_byte_for_byte_the_value_of_the_record(
    store: EventStore, pool: Pool
) -> None:
    loaded = await start(store, ZOE)
    command = submit_message("größer 🎈")
    await execute(store, loaded.session.id, command, ZOE)
    await execute(
        store, loaded.session.id, FailReply(command.turn_id, "upstream_timeout", "späte", "hä"), ZOE
    )
    rows = await pool.fetch("SELECT *, data::text AS stored FROM events ORDER BY sequence")
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert encode(event_from_row(row)).value == row["stored"].encode()
        assert json.loads(row["stored"])["actor"]["user"] == ZOE.principal.user
    sizes = await pool.fetch("SELECT bytes FROM outbox ORDER BY position")
    assert [row["bytes"] for row in sizes] == [len(row["stored"].encode()) for row in rows]


async def test_the_outbox_holds_events_in_order(store: EventStore, pool: Pool) -> None:
    sessions = [await start(store) for _ in range(4)]

    async def talk(loaded: LoadedSession) -> None:
        for _ in range(10):
            command = submit_message()
            await execute(store, loaded.session.id, command)
            end = complete_reply(command.turn_id)
            await execute(store, loaded.session.id, end)

    await asyncio.gather(*map(talk, sessions))
    for loaded in sessions:
        rows = await pool.fetch(
            "SELECT sequence FROM outbox WHERE session_id = $1 ORDER BY position", loaded.session.id
        )
        assert [row["sequence"] for row in rows] == list(range(1, 32))


async def test_an_unknown_session_has_no_key(store: EventStore, started: LoadedSession) -> None:
    unknown = uuid4()
    assert await store.load(unknown) is None
    keys = await store.data_keys([started.session.id, unknown])
    assert keys == {started.session.id: started.key}


async def test_each_session_has_its_own_wrapped_key(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    other = await start(store)
    assert other.key != started.key
    for row in await pool.fetch("SELECT wrapped_key FROM sessions"):
        assert started.key.secret not in row["wrapped_key"]
        assert other.key.secret not in row["wrapped_key"]


async def test_content_is_unsealed_only_with_the_key_of_the_session(
    store: EventStore, started: LoadedSession
) -> None:
    await execute(store, started.session.id, submit_message("hello"))
    [event] = await store.events_at(started.session.id, [2])
    assert isinstance(event.data, MessageSubmitted)
    aad: dict[str, Any] = {"session_id": event.session_id, "event_id": event.id, "field": "content"}
    assert unseal(started.key, event.data.content, **aad) == {"text": "hello"}


async def test_the_relay_is_woken_after_each_commit(pool: Pool) -> None:
    woken: list[bool] = []
    store = EventStore(pool, KEYS, max_cache_bytes=1_000_000, on_appended=woken.append)
    loaded = await start(store)
    late = decided(loaded)
    await execute(store, loaded.session.id, submit_message())
    # The argument says whether the append opened a turn.
    assert woken == [False, True]
    await store.append(loaded, late, key=loaded.key)
    assert len(woken) == 2


async def test_a_cancel_is_recorded_only_on_its_turn(store: EventStore, pool: Pool) -> None:
    turns = []
    for _ in range(2):
        loaded, command = await start(store), submit_message()
        await execute(store, loaded.session.id, command)
        turns.append((loaded.session.id, command.turn_id))
    await execute(store, turns[0][0], RequestCancel(turns[0][1]))
    rows = await pool.fetch("SELECT id FROM turns WHERE cancel_requested")
    assert [row["id"] for row in rows] == [turns[0][1]]
