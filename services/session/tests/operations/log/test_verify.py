"""`verify-log` on Postgres and Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from session_support.appending import append_sessions, append_turn, append_turns
from session_support.components import Components
from session_support.log_reading import records_in
from session_support.process import Ended, Run
from session_support.relaying import relay_all, relaying
from session_support.serving_completions import serve_completion

from parley_core.log import Brokers, LogWriter
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record
from parley_testing.transactions import append_in_transaction

Verify = Callable[[], Awaitable[Ended]]


@pytest.fixture
def verify(run: Run, runtime_database: str, kafka_bootstrap: str, log_topic: str) -> Verify:
    return lambda: run(
        "verify-log",
        runtime_database,
        kafka_bootstrap_servers=kafka_bootstrap,
        session_topic_sessions=log_topic,
    )


@pytest.fixture
def relay(
    runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> Callable[[], Awaitable[None]]:
    return lambda: relay_all(runtime_database, pool, kafka_bootstrap, log_topic)


async def append_to_log(bootstrap: str, topic: str, *records: Record) -> None:
    writer = LogWriter(Brokers(bootstrap), topic)
    await writer.start()
    assert not (await writer.append(records, timeout=5)).error
    await writer.close()


async def test_published_events_agree_and_pending_ones_are_no_difference(
    verify: Verify, relay: Callable[[], Awaitable[None]], components: Components, pool: Pool
) -> None:
    await append_sessions(components, sessions=3, turns=2)
    erased = await append_turns(components, 1)
    await pool.execute("UPDATE sessions SET wrapped_key = NULL WHERE id = $1", erased)
    await serve_completion(pool)
    await relay()
    waiting = await append_turns(components, 1)
    ended = await verify()
    assert (ended.code, ended.stderr) == (0, "")
    counts, log, verdict = ended.stdout.splitlines()
    assert counts.startswith("Event store: 6 sessions, 26 published events ")
    assert log.startswith("Log: 26 events, 0 repeats, checksum ")
    assert verdict == "The event store and the log agree."
    assert str(waiting) not in ended.stdout
    assert (await verify()).stdout == ended.stdout


async def test_transaction_markers_are_not_records(
    verify: Verify,
    relay: Callable[[], Awaitable[None]],
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    await append_turns(components, 1)
    await relay()
    repeated = await records_in(kafka_bootstrap, log_topic)
    await append_in_transaction(kafka_bootstrap, log_topic, repeated)
    ended = await verify()
    assert (ended.code, ended.stderr) == (0, "")
    assert f" {len(repeated)} repeats, " in ended.stdout


async def test_store_and_log_agree_during_writes(
    verify: Verify,
    runtime_database: str,
    kafka_bootstrap: str,
    log_topic: str,
    components: Components,
) -> None:
    session_ids = [await append_turns(components, 1) for _ in range(3)]
    talking = True

    async def talk(session_id: UUID) -> None:
        while talking:
            await append_turn(components, session_id)

    async with (
        relaying(
            runtime_database,
            lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
            max_batch_events=7,
        ),
        asyncio.TaskGroup() as talks,
    ):
        for session_id in session_ids:
            talks.create_task(talk(session_id))
        for _ in range(3):
            ended = await verify()
            assert ended.code == 0, ended.stdout
        talking = False


async def test_each_kind_of_difference_is_reported_with_exit_code_1(
    verify: Verify,
    relay: Callable[[], Awaitable[None]],
    components: Components,
    pool: Pool,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    changed, lost, unknown, unsent, shrunk = [await append_turns(components, 1) for _ in range(5)]
    await pool.execute("DELETE FROM outbox WHERE session_id = $1 AND sequence > 2", unsent)
    await relay()
    change = "UPDATE events SET data = '{}' WHERE session_id = $1 AND sequence = 3"
    await pool.execute(change, changed)
    await pool.execute("DELETE FROM events WHERE session_id = $1 AND sequence = 4", lost)
    await pool.execute("DELETE FROM events WHERE session_id = $1", unknown)
    await pool.execute("DELETE FROM sessions WHERE id = $1", unknown)
    await pool.execute(
        "UPDATE events SET time = time - interval '1 hour' WHERE session_id = $1 AND sequence = 2",
        shrunk,
    )
    await append_to_log(kafka_bootstrap, log_topic, Record(b"stranger", [], b"private words"))
    ended = await verify()
    assert ended.code == 1
    lines = {line.strip() for line in ended.stdout.splitlines()}
    differs = "differs between log and store"
    assert lines >= {
        f"Event 3 of session {changed} {differs}: value.",
        f"Session {lost} is at version 4 in the store, but has 3 events with 3 as the last "
        "sequence.",
        f"Event 4 of session {lost} is in the log, but not in the store.",
        *(f"Event {n} of session {unknown} is in the log, but not in the store." for n in (1, 4)),
        f"Event 2 of session {shrunk} has an id or a time in the store that is not later than "
        "that of the previous event.",
        f"Event 2 of session {shrunk} {differs}: ce_time.",
    }
    assert "Found 11 differences; the first ones:" in lines
    assert "private words" not in ended.stdout + ended.stderr


async def test_published_events_missing_from_the_log_are_reported(
    verify: Verify,
    relay: Callable[[], Awaitable[None]],
    components: Components,
    pool: Pool,
) -> None:
    session_id = await append_turns(components, 1)
    await pool.execute("DELETE FROM outbox WHERE sequence > 2")
    await relay()
    ended = await verify()
    assert ended.code == 1
    assert (
        f"Event 3 of session {session_id} is in the store, but neither in the outbox nor in "
        "the log."
    ) in ended.stdout


async def test_events_out_of_order_in_the_log_are_reported(
    verify: Verify,
    relay: Callable[[], Awaitable[None]],
    components: Components,
    pool: Pool,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    session_id = await append_turns(components, 1)
    await pool.execute("TRUNCATE outbox")
    await pool.execute(
        "INSERT INTO outbox (session_id, sequence, bytes) "
        "SELECT session_id, sequence, 1 FROM events ORDER BY array_position('{1,3,2,4}', sequence)"
    )
    await relay()
    assert len(await records_in(kafka_bootstrap, log_topic)) == 4
    ended = await verify()
    assert ended.code == 1
    assert f"Event 3 of session {session_id} appears in the log before event 2." in ended.stdout


async def test_an_unavailable_log_ends_with_exit_code_1(run: Run, runtime_database: str) -> None:
    ended = await run("verify-log", runtime_database)
    assert ended.code == 1
    assert ended.stderr.startswith("The log parley.sessions.v1 cannot be read: ")
