"""The event store on a real Postgres: an append is all or nothing, and only one wins."""

import asyncio
import json
from uuid import uuid4

import pytest
from session_peers.appending import execute, start
from session_peers.client import ADA
from session_peers.commands import complete_reply, submit_message
from session_peers.conversation import MOMENT, as_long_as_sealed
from session_peers.service import MASTER_KEY

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_core.crypto.sealing import unseal
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import EventTooLarge, encode
from parley_events.session import Event, MessageSubmitted
from parley_session.application.command_executor import Caller
from parley_session.application.idempotency import idempotent_request
from parley_session.domain.session.commands import (
    FailReply,
    RequestCancel,
)
from parley_session.domain.session.decide import decide
from parley_session.storage.event_store import EventStore, LoadedSession, event_of

KEYS = MasterKeys.parse(MASTER_KEY)
ZOE = Caller(Principal("Größe", 'Zoë "\\ 🎈'), "req-2")
TABLES = ("sessions", "events", "outbox", "turns", "remembered_requests")


@pytest.fixture
async def store(pool: Pool) -> EventStore:
    return EventStore(pool, KEYS, most_sessions_kept=100)


@pytest.fixture
async def started(store: EventStore) -> LoadedSession:
    return await start(store)


def decided(held: LoadedSession) -> list[Event]:
    """What a submit would append."""
    return decide(held.session, submit_message(), MOMENT, as_long_as_sealed)


async def counts(pool: Pool) -> dict[str, int]:
    return {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_an_append_moves_session_events_outbox_and_turn_in_one_commit(
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
    assert (turn["id"], turn["session_id"]) == (command.turn_id, started.session.id)
    assert (turn["message_sequence"], turn["requested_sequence"], turn["ended_sequence"]) == (
        2,
        3,
        None,
    )


async def test_of_concurrent_appends_one_wins(
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


async def test_of_concurrent_starts_with_one_id_one_wins(store: EventStore, pool: Pool) -> None:
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


async def test_an_event_that_is_too_large_leaves_nothing(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    before = await counts(pool)
    # Sealed, and in base64, this is over 768 KiB.
    with pytest.raises(EventTooLarge):
        await execute(store, started.session.id, submit_message("x" * 600 * 1024))
    assert await counts(pool) == before
    reloaded = await store.load(started.session.id)
    assert reloaded is not None
    assert reloaded.session.version == 1


async def test_a_request_that_is_remembered_already_leaves_nothing_of_the_second_append(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    request = idempotent_request(ADA, "POST", "/x", "k1", {"content": "hello"})
    assert request is not None
    other = await start(store)
    first = request.remembered(started.key, started.session.id, None)
    second = request.remembered(other.key, other.session.id, None)
    assert await store.append(started, decided(started), key=started.key, remember=first)
    before = await counts(pool)
    assert before["remembered_requests"] == 1
    assert await store.append(other, decided(other), key=other.key, remember=second) is None
    assert await counts(pool) == before
    recalled = await store.recall(request.digest)
    assert recalled is not None
    assert recalled[0] == first


async def test_a_remembered_request_is_of_the_same_commit_or_not_there(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    request = idempotent_request(ADA, "POST", "/x", "k1", {})
    assert request is not None
    late, remember = decided(started), request.remembered(started.key, started.session.id, None)
    await store.append(started, decided(started), key=started.key)
    assert await store.append(started, late, key=started.key, remember=remember) is None
    assert await store.recall(request.digest) is None


async def test_stored_data_is_byte_for_byte_the_value_of_the_record(
    store: EventStore, pool: Pool
) -> None:
    held = await start(store, ZOE)
    command = submit_message("größer 🎈")
    await execute(store, held.session.id, command, ZOE)
    await execute(
        store, held.session.id, FailReply(command.turn_id, "upstream_timeout", "späte", "hä"), ZOE
    )
    rows = await pool.fetch("SELECT *, data::text AS stored FROM events ORDER BY sequence")
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert encode(event_of(row)).value == row["stored"].encode()
        assert json.loads(row["stored"])["actor"]["user"] == ZOE.person.user
    sizes = await pool.fetch("SELECT bytes FROM outbox ORDER BY position")
    assert [row["bytes"] for row in sizes] == [len(row["stored"].encode()) for row in rows]


async def test_the_outbox_has_a_sessions_events_in_their_order(
    store: EventStore, pool: Pool
) -> None:
    sessions = [await start(store) for _ in range(4)]

    async def talk(held: LoadedSession) -> None:
        for _ in range(10):
            command = submit_message()
            await execute(store, held.session.id, command)
            end = complete_reply(command.turn_id)
            await execute(store, held.session.id, end)

    await asyncio.gather(*map(talk, sessions))
    for held in sessions:
        rows = await pool.fetch(
            "SELECT sequence FROM outbox WHERE session_id = $1 ORDER BY position", held.session.id
        )
        assert [row["sequence"] for row in rows] == list(range(1, 32))


async def test_an_unknown_session_is_none_and_has_no_key(
    store: EventStore, started: LoadedSession
) -> None:
    unknown = uuid4()
    assert await store.load(unknown) is None
    keys = await store.data_keys([started.session.id, unknown])
    assert keys == {started.session.id: started.key}


async def test_a_key_is_the_sessions_own_and_wrapped(
    store: EventStore, started: LoadedSession, pool: Pool
) -> None:
    other = await start(store)
    assert other.key != started.key
    for row in await pool.fetch("SELECT wrapped_key FROM sessions"):
        assert started.key.secret not in row["wrapped_key"]
        assert other.key.secret not in row["wrapped_key"]


async def test_content_can_be_unsealed_with_the_sessions_key_alone(
    store: EventStore, started: LoadedSession
) -> None:
    await execute(store, started.session.id, submit_message("hello"))
    [event] = await store.events_at(started.session.id, [2])
    assert isinstance(event.data, MessageSubmitted)
    place = {"session_id": event.session_id, "event_id": event.id, "field": "content"}
    assert unseal(started.key, event.data.content, **place) == {"text": "hello"}


async def test_the_relay_is_woken_after_each_commit_and_only_then(pool: Pool) -> None:
    woken: list[bool] = []
    store = EventStore(pool, KEYS, most_sessions_kept=9, on_stored=woken.append)
    held = await start(store)
    late = decided(held)
    await execute(store, held.session.id, submit_message())
    # It is told which of them opened a turn.
    assert woken == [False, True]
    await store.append(held, late, key=held.key)
    assert len(woken) == 2


async def test_a_cancel_is_noted_on_its_turn_alone(store: EventStore, pool: Pool) -> None:
    turns = []
    for _ in range(2):
        held, command = await start(store), submit_message()
        await execute(store, held.session.id, command)
        turns.append((held.session.id, command.turn_id))
    await execute(store, turns[0][0], RequestCancel(turns[0][1]))
    rows = await pool.fetch("SELECT id FROM turns WHERE cancel_requested")
    assert [row["id"] for row in rows] == [turns[0][1]]
