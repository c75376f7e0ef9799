"""A session loaded from a snapshot, or from all its events, is the one that was kept in memory."""

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from session_support.appending import append_turns, execute, start
from session_support.commands import submit_message
from session_support.components import Components
from session_support.counting_pool import CountingPool
from session_support.service import MASTER_KEY, keyring_of

from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.storage.postgres_pool import Pool
from parley_events.values import Usage
from parley_session.domain.session.commands import (
    ChangeMetadata,
    ChangeSession,
    Command,
    CompactContext,
    CompleteReply,
    DeleteSession,
    EraseSession,
    FailReply,
    ImportedMessage,
    ImportMessages,
    RegenerateReply,
    RenameSession,
    RequestCancel,
    RestoreSession,
    SetArchived,
    SetLegalHold,
    SubmitMessage,
)
from parley_session.domain.session.errors import DomainError
from parley_session.domain.session.state import Session
from parley_session.storage import session_snapshots
from parley_session.storage.event_store import EventStore, LoadedSession

KEYS = keyring_of(MASTER_KEY)
EVENTS_PER_SNAPSHOT = 7


@pytest.fixture(autouse=True)
def frequent_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_snapshots, "EVENTS_PER_SNAPSHOT", EVENTS_PER_SNAPSHOT)


def new_store(pool: Pool) -> EventStore:
    return EventStore(pool, KEYS, max_cache_bytes=1_000_000)


async def snapshot_version(pool: Pool, session_id: UUID) -> int | None:
    version: int | None = await pool.fetchval(
        "SELECT snapshot_version FROM sessions WHERE id = $1", session_id
    )
    return version


async def load_cold(pool: Pool, session_id: UUID) -> tuple[LoadedSession, int]:
    """The session as another process loads it, and the number of events that this read."""
    counting = CountingPool(pool)
    loaded = await new_store(counting).load(session_id)  # type: ignore[arg-type]
    assert loaded is not None
    return loaded, counting.read


def random_commands(choice: random.Random, session: Session) -> Iterator[Command]:
    """Commands in random order; the session rejects some of them."""
    message = choice.choice([*session.messages, None])
    turn = session.open_turn.id if session.open_turn else uuid4()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    imported = [
        ImportedMessage(uuid4(), choice.choice(["user", "assistant", "system"]), text, moment, 3)
        for text in ["a", "b"][: choice.randint(1, 2)]
    ]
    commands: list[Command] = [
        SubmitMessage(uuid4(), uuid4(), uuid4(), "question", "demo", tokens=choice.randint(1, 9)),
        SubmitMessage(uuid4(), uuid4(), uuid4(), "edited", "demo", parent_message_id=message),
        SubmitMessage(uuid4(), uuid4(), uuid4(), "another root", "demo", as_root=True),
        CompleteReply(
            turn, "answer", "stop", 1, 2, usage=Usage(prompt_tokens=1, completion_tokens=2)
        ),
        CompleteReply(turn, "answer", "length", 1, 2),
        FailReply(turn, "upstream_timeout", partial_content="par"),
        FailReply(turn, "interrupted"),
        RequestCancel(turn),
        RegenerateReply(None, uuid4(), uuid4(), "demo"),
        ImportMessages(imported),
        CompactContext(message or uuid4(), "summary", "demo", choice.choice([None, 5])),
        ChangeSession([RenameSession(choice.choice(["title", None]))]),
        ChangeSession([ChangeMetadata({"key": "value"})]),
        ChangeSession([SetArchived(choice.random() < 0.5)]),
        ChangeSession([SetLegalHold(choice.random() < 0.5)]),
        DeleteSession(datetime.now(UTC) + timedelta(days=1)),
        RestoreSession(),
        RestoreSession(),
    ]
    choice.shuffle(commands)
    yield from commands


@pytest.mark.parametrize("seed", range(10))
async def test_a_session_loaded_cold_equals_the_one_kept_warm(pool: Pool, seed: int) -> None:
    choice, warm = random.Random(seed), new_store(pool)
    loaded = await start(warm)
    session_id, appends = loaded.session.id, 0
    while appends < 60:
        for command in random_commands(choice, loaded.session):
            with suppress(DomainError):
                after = await execute(warm, session_id, command)
                appends += after.session.version > loaded.session.version
                loaded = after
                break
        if choice.random() < 0.3:
            cold, read = await load_cold(pool, session_id)
            assert cold == loaded
            assert cold.session.newest_turn_id == loaded.session.newest_turn_id
            assert [*cold.session.messages] == [*loaded.session.messages]
            assert read < EVENTS_PER_SNAPSHOT
    await pool.execute("UPDATE sessions SET snapshot = NULL, snapshot_version = NULL")
    assert await load_cold(pool, session_id) == (loaded, loaded.session.version)
    # That load wrote the next snapshot.
    assert await load_cold(pool, session_id) == (loaded, 0)


async def test_a_snapshot_of_another_fold_is_ignored_and_replaced(
    components: Components, pool: Pool
) -> None:
    session_id = await append_turns(components, 5)
    await pool.execute("UPDATE sessions SET snapshot = 'another ' || snapshot")
    _, read = await load_cold(pool, session_id)
    assert read == 16
    assert await snapshot_version(pool, session_id) == 16
    _, read = await load_cold(pool, session_id)
    assert read == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET snapshot = substr(snapshot, 1, 40)",
        "UPDATE sessions SET snapshot_version = snapshot_version - 1",
        # As after a restore of the store to another history of the session.
        "UPDATE events SET id = gen_random_uuid() WHERE sequence = 15",
    ],
)
async def test_a_snapshot_that_is_not_of_these_events_is_ignored(
    components: Components, pool: Pool, damage: str
) -> None:
    session_id = await append_turns(components, 5)
    assert await snapshot_version(pool, session_id) == 15
    await pool.execute(damage)
    loaded, read = await load_cold(pool, session_id)
    assert (loaded.session.version, read) == (16, 16)


async def test_erasing_a_session_removes_its_snapshot_in_the_same_commit(
    components: Components, pool: Pool
) -> None:
    session_id = await append_turns(components, 5)
    before = await components.store.load(session_id)
    assert before is not None
    await execute(components.store, session_id, EraseSession("requested"))
    [row] = await pool.fetch("SELECT snapshot, snapshot_version, wrapped_key FROM sessions")
    assert [*row] == [None, None, None]
    # A process that still has the session cannot bring it back.
    await session_snapshots.SessionSnapshots(pool).write_if_due(before.session, None)
    assert await snapshot_version(pool, session_id) is None
    with pytest.raises(KeyDestroyed):
        await new_store(pool).load(session_id)


async def test_a_snapshot_never_replaces_a_later_one(components: Components, pool: Pool) -> None:
    session_id = await append_turns(components, 3)
    earlier = await components.store.load(session_id)
    assert earlier is not None
    for _ in range(3):
        await execute(components.store, session_id, command := submit_message())
        await execute(components.store, session_id, FailReply(command.turn_id, "interrupted"))
    assert await snapshot_version(pool, session_id) == 15
    await session_snapshots.SessionSnapshots(pool).write_if_due(earlier.session, None)
    assert await snapshot_version(pool, session_id) == 15
