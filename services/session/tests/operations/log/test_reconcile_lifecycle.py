"""`reconcile` with imported, deleted, restored and erased sessions."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from session_support.appending import CALLER, append_turn, append_turns, execute, start
from session_support.backup import back_up, contents, restore
from session_support.client import ADA, EVE
from session_support.commands import complete_reply, start_session, submit_message
from session_support.components import Components, components_on, deletion_on
from session_support.conversation import MOMENT
from session_support.service import MASTER_KEY, keyring_of

from parley_core.auth.caller import Caller
from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.log import LogEntry
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import encode
from parley_session.application.idempotency import idempotent_request
from parley_session.domain.session.commands import (
    ChangeSession,
    DeleteSession,
    ImportedMessage,
    ImportMessages,
    RegenerateReply,
    RestoreSession,
    SetArchived,
    SetLegalHold,
)
from parley_session.operations.log.reconcile import Reconciliation
from parley_session.operations.log.reconcile_store import ReconcileStore
from parley_session.storage.event_rows import event_from_row
from parley_session.storage.keys.search_keys import SearchKeys

Logged = list[LogEntry]
TakeBack = Callable[[Logged], Awaitable[Reconciliation]]


@pytest.fixture
def take_back(runtime_database: str) -> TakeBack:
    async def take_back(logged: Logged) -> Reconciliation:
        connection = await asyncpg.connect(runtime_database)
        reconciliation = Reconciliation(ReconcileStore(connection))
        # In small batches, like a log.
        for at in range(0, len(logged), 3):
            await reconciliation.process(logged[at : at + 3])
        await connection.close()
        return reconciliation

    return take_back


async def logged_of(pool: Pool) -> Logged:
    """All stored events as log entries, twice."""
    rows = await pool.fetch("SELECT * FROM events ORDER BY session_id, sequence")
    records = [encode(event_from_row(row)) for row in rows]
    return [LogEntry(0, offset, record) for offset, record in enumerate([*records, *records])]


def imported() -> ImportedMessage:
    return ImportedMessage(uuid4(), "user", "brought", MOMENT.now)


async def test_a_session_erased_in_the_log_loses_its_key_and_records(
    components: Components, pool: Pool, take_back: TakeBack
) -> None:
    request = idempotent_request(ADA, "POST", "/sessions", "k1", {})
    assert request is not None
    begin = start_session()
    await components.executor.execute(begin.session_id, lambda _: begin, CALLER, request=request)
    other = await append_turns(components, 1)
    open_turn = submit_message()
    await execute(components.store, begin.session_id, open_turn)
    await back_up(pool)
    record = await pool.fetch("SELECT * FROM remembered_requests")
    await deletion_on(pool).erase(begin.session_id, "operator", CALLER)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    [row] = record
    await pool.execute(
        "INSERT INTO remembered_requests VALUES ($1, $2, $3, $4, $5, $6)", *row.values()
    )
    assert await components_on(pool).store.load(begin.session_id)

    reconciliation = await take_back(logged)
    assert (reconciliation.events, reconciliation.differences.count) == (2, 0)
    assert reconciliation.without_key == set()
    outbox = before.pop("outbox")
    after = await contents(pool)
    assert len(after.pop("outbox")) == len(outbox) - 2
    assert after == before
    assert await pool.fetchval("SELECT count(*) FROM remembered_requests") == 0
    with pytest.raises(KeyDestroyed):
        await components_on(pool).store.load(begin.session_id)
    assert (await take_back(logged)).events == 0
    assert await contents(pool) == after | {"outbox": (await contents(pool))["outbox"]}
    await append_turn(components_on(pool), other)


async def test_rows_are_projected_from_the_imported_events(
    components: Components, pool: Pool, take_back: TakeBack
) -> None:
    archived, loaded, deleted, restored = [await append_turns(components, 1) for _ in range(4)]
    await back_up(pool)
    later = DeleteSession(MOMENT.now + timedelta(days=400))
    await execute(components.store, archived, ChangeSession([SetArchived(True)]))
    await execute(components.store, loaded, ChangeSession([SetArchived(True), SetLegalHold(True)]))
    await execute(components.store, loaded, ChangeSession([SetArchived(False)]))
    await execute(components.store, deleted, later)
    await execute(components.store, restored, later)
    await execute(components.store, restored, RestoreSession())
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 7
    after = await contents(pool)
    assert [after[table] for table in ("sessions", "events")] == [
        before[table] for table in ("sessions", "events")
    ]
    rows = {row["id"]: row for row in after["sessions"]}
    assert rows[archived]["archived"]
    assert (rows[loaded]["held"], rows[loaded]["archived"]) == (True, False)
    assert rows[deleted]["deleted"]
    assert (rows[restored]["deleted"], rows[restored]["erase_at"]) == (False, None)


async def test_turns_of_earlier_and_imported_messages_are_imported(
    components: Components, pool: Pool, take_back: TakeBack
) -> None:
    session_id = await append_turns(components, 1)
    known = imported()
    await execute(components.store, session_id, ImportMessages([known]))
    await back_up(pool)
    new = imported()
    await _regenerate(components, session_id, known.id)
    await execute(components.store, session_id, ImportMessages([new]))
    await _regenerate(components, session_id, new.id)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 5
    after = await contents(pool)
    assert after["turns"] == before["turns"]
    assert after["events"] == before["events"]


async def test_an_erased_session_unknown_to_the_store_becomes_a_tombstone(
    components: Components, pool: Pool, take_back: TakeBack
) -> None:
    await back_up(pool)
    session_id = await append_turns(components, 1)
    await deletion_on(pool).erase(session_id, "operator", CALLER)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 5
    assert (await contents(pool))["sessions"] == before["sessions"]


async def test_the_search_key_is_destroyed_with_the_last_session(
    components: Components, pool: Pool, take_back: TakeBack
) -> None:
    keys = SearchKeys(pool, keyring_of(MASTER_KEY))
    first, last = [await append_turns(components, 1) for _ in range(2)]
    await start(components.store, Caller(EVE, "req-1"))
    [of_ada, of_eve] = await keys.get_or_create([ADA, EVE])
    await back_up(pool)
    logged: list[Logged] = []
    for session_id in (first, last):
        await deletion_on(pool).erase(session_id, "operator", CALLER)
        logged.append(await logged_of(pool))
    await restore(pool)
    await take_back(logged[0])
    assert await keys.get_or_create([ADA, EVE]) == [of_ada, of_eve]
    await take_back(logged[1])
    assert await keys.get_or_create([ADA, EVE]) == [None, of_eve]


async def _regenerate(components: Components, session_id: UUID, message_id: UUID) -> None:
    command = RegenerateReply(message_id, uuid4(), uuid4(), "demo")
    await execute(components.store, session_id, command)
    await execute(components.store, session_id, complete_reply(command.turn_id))
