"""What becomes of whole sessions when a store takes back what only the log has."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from session_peers.appending import ASKER, append_turn, append_turns, execute, start
from session_peers.backup import back_up, contents, restore
from session_peers.client import ADA, EVE
from session_peers.commands import complete_reply, start_session, submit_message
from session_peers.conversation import MOMENT
from session_peers.parts import Parts, erasing_on, parts_on
from session_peers.service import MASTER_KEY

from parley_core.crypto.master_keys import KeyDestroyed, MasterKeys
from parley_core.log import LogEntry
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import encode
from parley_session.application.command_executor import Caller
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
from parley_session.storage.event_store import event_of
from parley_session.storage.search_keys import SearchKeys

Logged = list[LogEntry]
TakeBack = Callable[[Logged], Awaitable[Reconciliation]]


@pytest.fixture
def parts(pool: Pool) -> Parts:
    return parts_on(pool)


@pytest.fixture
def take_back(store_database: str) -> TakeBack:
    async def take_back(logged: Logged) -> Reconciliation:
        connection = await asyncpg.connect(store_database)
        reconciliation = Reconciliation(ReconcileStore(connection))
        # In small pieces, as a log is read.
        for at in range(0, len(logged), 3):
            await reconciliation.take_back(logged[at : at + 3])
        await connection.close()
        return reconciliation

    return take_back


async def logged_of(pool: Pool) -> Logged:
    """All that was ever stored, as the log has it; and all of it again."""
    rows = await pool.fetch("SELECT * FROM events ORDER BY session_id, sequence")
    records = [encode(event_of(row)) for row in rows]
    return [LogEntry(0, offset, record) for offset, record in enumerate([*records, *records])]


def imported() -> ImportedMessage:
    return ImportedMessage(uuid4(), "user", "brought", MOMENT.now)


async def test_a_session_that_the_log_knows_as_erased_loses_its_key_and_its_requests(
    parts: Parts, pool: Pool, take_back: TakeBack
) -> None:
    request = idempotent_request(ADA, "POST", "/sessions", "k1", {})
    assert request is not None
    begin = start_session()
    await parts.executor.execute(begin.session_id, lambda _: begin, ASKER, request=request)
    other = await append_turns(parts, 1)
    open_turn = submit_message()
    await execute(parts.store, begin.session_id, open_turn)
    await back_up(pool)
    remembered = await pool.fetch("SELECT * FROM remembered_requests")
    await erasing_on(pool).erase(begin.session_id, "operator", ASKER)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    [row] = remembered
    await pool.execute("INSERT INTO remembered_requests VALUES ($1, $2, $3, $4, $5)", *row.values())
    assert await parts_on(pool).store.load(begin.session_id)

    reconciliation = await take_back(logged)
    assert (reconciliation.events, reconciliation.differences.count) == (2, 0)
    assert reconciliation.without_key == set()
    outbox = before.pop("outbox")
    after = await contents(pool)
    assert len(after.pop("outbox")) == len(outbox) - 2
    assert after == before
    assert await pool.fetchval("SELECT count(*) FROM remembered_requests") == 0
    with pytest.raises(KeyDestroyed):
        await parts_on(pool).store.load(begin.session_id)
    assert (await take_back(logged)).events == 0
    assert await contents(pool) == after | {"outbox": (await contents(pool))["outbox"]}
    await append_turn(parts_on(pool), other)


async def test_rows_are_again_what_their_events_made_of_them(
    parts: Parts, pool: Pool, take_back: TakeBack
) -> None:
    archived, held, deleted, restored = [await append_turns(parts, 1) for _ in range(4)]
    await back_up(pool)
    later = DeleteSession(MOMENT.now + timedelta(days=400))
    await execute(parts.store, archived, ChangeSession([SetArchived(True)]))
    await execute(parts.store, held, ChangeSession([SetArchived(True), SetLegalHold(True)]))
    await execute(parts.store, held, ChangeSession([SetArchived(False)]))
    await execute(parts.store, deleted, later)
    await execute(parts.store, restored, later)
    await execute(parts.store, restored, RestoreSession())
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 7
    after = await contents(pool)
    assert [after[table] for table in ("sessions", "events")] == [
        before[table] for table in ("sessions", "events")
    ]
    rows = {row["id"]: row for row in after["sessions"]}
    assert rows[archived]["archived"]
    assert (rows[held]["held"], rows[held]["archived"]) == (True, False)
    assert rows[deleted]["deleted"]
    assert (rows[restored]["deleted"], rows[restored]["erase_at"]) == (False, None)


async def test_turns_that_answer_an_earlier_or_an_imported_message_are_taken_back(
    parts: Parts, pool: Pool, take_back: TakeBack
) -> None:
    session_id = await append_turns(parts, 1)
    known = imported()
    await execute(parts.store, session_id, ImportMessages([known]))
    await back_up(pool)
    new = imported()
    await _regenerate(parts, session_id, known.id)
    await execute(parts.store, session_id, ImportMessages([new]))
    await _regenerate(parts, session_id, new.id)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 5
    after = await contents(pool)
    assert after["turns"] == before["turns"]
    assert after["events"] == before["events"]


async def test_an_erased_session_that_the_store_never_knew_is_a_tombstone(
    parts: Parts, pool: Pool, take_back: TakeBack
) -> None:
    await back_up(pool)
    session_id = await append_turns(parts, 1)
    await erasing_on(pool).erase(session_id, "operator", ASKER)
    logged, before = await logged_of(pool), await contents(pool)
    await restore(pool)
    assert (await take_back(logged)).events == 5
    assert (await contents(pool))["sessions"] == before["sessions"]


async def test_with_the_last_session_of_a_person_their_search_key_goes_too(
    parts: Parts, pool: Pool, take_back: TakeBack
) -> None:
    keys = SearchKeys(pool, MasterKeys.parse(MASTER_KEY))
    first, last = [await append_turns(parts, 1) for _ in range(2)]
    await start(parts.store, Caller(EVE, "req-1"))
    [of_ada, of_eve] = await keys.of([ADA, EVE])
    await back_up(pool)
    logged: list[Logged] = []
    for session_id in (first, last):
        await erasing_on(pool).erase(session_id, "operator", ASKER)
        logged.append(await logged_of(pool))
    await restore(pool)
    await take_back(logged[0])
    assert await keys.of([ADA, EVE]) == [of_ada, of_eve]
    await take_back(logged[1])
    assert await keys.of([ADA, EVE]) == [None, of_eve]


async def _regenerate(parts: Parts, session_id: UUID, message_id: UUID) -> None:
    command = RegenerateReply(message_id, uuid4(), uuid4(), "demo")
    await execute(parts.store, session_id, command)
    await execute(parts.store, session_id, complete_reply(command.turn_id))
