"""`reconcile` imports events that a restored store has lost."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from session_support.appending import append_turn, append_turns, execute
from session_support.backup import back_up, contents, restore
from session_support.commands import complete_reply, submit_message
from session_support.components import Components, components_on
from session_support.log_reading import records_in
from session_support.process import Ended, Run
from session_support.relaying import relay_all
from session_support.serving_completions import serve_completion

from parley_core.crypto.master_keys import KeyDestroyed
from parley_core.log import Brokers, LogEntry, LogWriter
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record
from parley_session.domain.session.commands import RequestCancel
from parley_session.operations.log.reconcile import Reconciliation
from parley_session.operations.log.reconcile_store import ReconcileStore

Relay = Callable[[], Awaitable[None]]
Reconcile = Callable[..., Awaitable[Ended]]


@pytest.fixture
def relay(runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str) -> Relay:
    return lambda: relay_all(runtime_database, pool, kafka_bootstrap, log_topic)


@pytest.fixture
def reconcile(run: Run, runtime_database: str, kafka_bootstrap: str, log_topic: str) -> Reconcile:
    settings = {"kafka_bootstrap_servers": kafka_bootstrap, "session_topic_sessions": log_topic}
    return lambda *options: run(" ".join(["reconcile", *options]), runtime_database, **settings)


async def test_the_store_is_recovered_and_sessions_continue(
    reconcile: Reconcile, relay: Relay, components: Components, pool: Pool, runtime_database: str
) -> None:
    quiet, busy, asked, cancelled, ended = [await append_turns(components, 1) for _ in range(5)]
    open_turn = submit_message()
    await execute(components.store, busy, open_turn)
    await relay()
    await back_up(pool)
    await execute(components.store, busy, complete_reply(open_turn.turn_id))
    for _ in range(3):
        await append_turn(components, busy)
    for session_id in (asked, cancelled):
        open_turn = submit_message()
        await execute(components.store, session_id, open_turn)
    await execute(components.store, cancelled, RequestCancel(open_turn.turn_id))
    unclaimed = submit_message()
    await execute(components.store, ended, unclaimed)
    await execute(components.store, ended, RequestCancel(unclaimed.turn_id, unclaimed=True))
    await serve_completion(pool)
    await relay()
    before = await contents(pool)
    await restore(pool)

    would = await reconcile("--dry-run")
    assert (would.code, would.stderr) == (0, "")
    assert would.stdout == "Would import 20 events of 5 sessions that existed only in the log.\n"
    assert await contents(pool) != before
    acts = "SELECT count(*) FROM audit_records WHERE action = 'log.reconciled'"
    assert await pool.fetchval(acts) == 0

    took = await reconcile()
    assert (took.code, took.stdout) == (0, would.stdout.replace("Would import", "Imported"))
    assert await contents(pool) == before
    repeated = await reconcile()
    assert repeated.stdout == "Imported 0 events of 0 sessions that existed only in the log.\n"
    assert await pool.fetchval(acts) == 1

    await append_turn(components_on(pool), busy)
    await append_turn(components_on(pool), quiet)
    await components_on(pool).sweeper(lease=0).sweep()
    assert not await pool.fetchval("SELECT count(*) FROM turns WHERE ended_sequence IS NULL")


async def test_a_session_unknown_to_the_store_reads_as_erased(
    reconcile: Reconcile, relay: Relay, components: Components, pool: Pool
) -> None:
    await back_up(pool)
    session_id = await append_turns(components, 1)
    await execute(components.store, session_id, submit_message())
    await relay()
    before = await contents(pool)
    await restore(pool)
    took = await reconcile()
    assert took.code == 0
    assert took.stdout.splitlines() == [
        "Imported 6 events of 1 sessions that existed only in the log.",
        "The keys of 1 of these sessions are lost, because the store did not have them: these "
        "sessions read as erased.",
    ]
    [known] = before["sessions"]
    before["sessions"] = [known | {"wrapped_key": None}]
    assert await contents(pool) == before
    with pytest.raises(KeyDestroyed):
        await components_on(pool).store.load(session_id)
    # Nobody can end its open turn, because nothing can be sealed for it.
    assert await components.turns.abandoned(0, 10) == []


async def test_a_forked_session_is_reported_and_not_changed(
    reconcile: Reconcile, relay: Relay, components: Components, pool: Pool
) -> None:
    forked, other = [await append_turns(components, 1) for _ in range(2)]
    await relay()
    await back_up(pool)
    for session_id in (forked, other):
        await append_turn(components, session_id)
    await append_turn(components, forked)
    await relay()
    await restore(pool)
    # Sessions were written to before reconcile ran.
    await append_turn(components_on(pool), forked)
    theirs = await pool.fetch("SELECT * FROM events WHERE session_id = $1", forked)
    ended = await reconcile()
    assert ended.code == 1
    assert ended.stdout.splitlines() == [
        "Imported 3 events of 1 sessions that existed only in the log.",
        "1 sessions could not be imported completely; the first ones:",
        f"  Session {forked} has forked: event 5 in the log differs from the one in the store.",
    ]
    assert await pool.fetch("SELECT * FROM events WHERE session_id = $1", forked) == theirs


async def test_events_after_a_gap_and_foreign_records_are_not_imported(
    reconcile: Reconcile,
    relay: Relay,
    components: Components,
    pool: Pool,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    session_id = await append_turns(components, 1)
    await relay()
    await back_up(pool)
    await append_turn(components, session_id)
    await pool.execute("DELETE FROM outbox WHERE sequence = 6")
    await relay()
    await restore(pool)
    key = str(uuid4()).encode()
    writer = LogWriter(Brokers(kafka_bootstrap), log_topic)
    await writer.start()
    await writer.append(
        [
            Record(b"stranger", [], b"private words"),
            Record(key, [("ce_sequence", b"1")], b"private words"),
        ],
        timeout=5,
    )
    await writer.close()
    ended = await reconcile()
    assert ended.code == 1
    assert ended.stdout.startswith("Imported 1 events of 1 sessions that existed only in the log.")
    assert (
        f"Session {session_id} has a gap in the log: event 7 is not preceded by all others."
        in ended.stdout
    )
    assert (
        f"Session {key.decode()} continues with a record that cannot be decoded: " in ended.stdout
    )
    assert "private words" not in ended.stdout + ended.stderr


async def test_events_rejected_by_the_store_affect_only_their_session(
    reconcile: Reconcile,
    relay: Relay,
    components: Components,
    pool: Pool,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    rejected, good = [await append_turns(components, 1) for _ in range(2)]
    await relay()
    await back_up(pool)
    last = (await records_in(kafka_bootstrap, log_topic))[-1]
    headers = dict(last.headers) | {
        "ce_type": b"parley.session.something_new.v1",
        "ce_subject": str(rejected).encode(),
        "ce_id": str(uuid4()).encode(),
        "ce_sequence": b"5",
    }
    writer = LogWriter(Brokers(kafka_bootstrap), log_topic)
    await writer.start()
    record = Record(str(rejected).encode(), [*headers.items()], b'{"number":NaN}')
    assert not (await writer.append([record], timeout=5)).error
    await writer.close()
    await append_turn(components, good)
    await relay()
    await restore(pool)
    for options in (["--dry-run"], []):
        ended = await reconcile(*options)
        assert ended.code == 1
        assert " 3 events of 1 sessions that existed only in the log." in ended.stdout
        assert f"Session {rejected} continues with events that the store rejects: " in ended.stdout
        assert ended.stderr == ""


async def test_a_session_that_changes_meanwhile_is_planned_again(
    relay: Relay,
    components: Components,
    pool: Pool,
    runtime_database: str,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    session_id = await append_turns(components, 1)
    await relay()
    await back_up(pool)
    await append_turn(components, session_id)
    await relay()
    before = await contents(pool)
    await restore(pool)
    entries = [
        LogEntry(0, offset, record)
        for offset, record in enumerate(await records_in(kafka_bootstrap, log_topic))
    ]
    connection = await asyncpg.connect(runtime_database)
    other_connection = await asyncpg.connect(runtime_database)

    class TakenBefore(ReconcileStore):
        """Simulates a concurrent import between the query and the append."""

        async def message_sequences(self, *arguments: Any) -> dict[UUID, int]:
            other = Reconciliation(ReconcileStore(other_connection))
            for entry in entries:
                # One by one, so that the parent message must be found in the store.
                await other.process([entry])
            return await super().message_sequences(*arguments)

    reconciliation = Reconciliation(TakenBefore(connection))
    await reconciliation.process(entries)
    await connection.close()
    await other_connection.close()
    assert (reconciliation.events, reconciliation.differences.count) == (0, 0)
    assert await contents(pool) == before


async def test_unknown_fields_are_imported_byte_for_byte(
    reconcile: Reconcile, relay: Relay, components: Components, pool: Pool
) -> None:
    session_id = await append_turns(components, 1)
    await relay()
    await back_up(pool)
    await append_turn(components, session_id)
    # As a later version might write it.
    await pool.execute(
        """
        UPDATE events SET type = 'parley.session.message_moved.v1', data = '{ "b" : 1, "a":null }'
        WHERE sequence = 5
        """
    )
    await pool.execute(
        """
        UPDATE events SET data = (rtrim(data::text, '}') || ', "new" : null }')::json
        WHERE sequence = 7
        """
    )
    await pool.execute("UPDATE events SET type = 'parley.session.x.v1' WHERE sequence = 6")
    await pool.execute("DELETE FROM turns WHERE message_sequence = 5")
    await relay()
    before = await contents(pool)
    await restore(pool)
    assert (await reconcile()).code == 0
    assert await contents(pool) == before


async def test_a_reply_to_an_earlier_message_is_imported_with_that_message(
    reconcile: Reconcile, relay: Relay, components: Components, pool: Pool
) -> None:
    session_id = await append_turns(components, 0)
    await relay()
    await back_up(pool)
    for _ in range(2):
        await append_turn(components, session_id)
    # Like a regenerated reply to the first message, which is event 2.
    await pool.execute(
        """
        UPDATE events SET data = (
            data::jsonb || jsonb_build_object('parent_message_id', (
                SELECT data->>'message_id' FROM events WHERE sequence = 2))
        )::json WHERE sequence = 6;
        UPDATE turns SET message_sequence = 2
        """
    )
    await relay()
    before = await contents(pool)
    await restore(pool)
    assert (await reconcile()).code == 0
    assert await contents(pool) == before
