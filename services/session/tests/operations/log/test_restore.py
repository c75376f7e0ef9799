"""`restore-log` republishes missing events in order, also when processes are killed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from session_support.appending import append_sessions, append_turn, append_turns
from session_support.components import Components
from session_support.log_reading import assert_all_in_log, outbox_is_empty, records_in
from session_support.process import Ended, Run, variables
from session_support.relaying import quick_limits, relay_all, relaying
from session_support.service import NO_KAFKA

from parley_core.log import Brokers, LogError, LogWriter
from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.postgres_pool import Pool
from parley_session.operations.log.restore import relay_requeued
from parley_session.relay.outbox import relays_paused, requeue_first
from parley_session.relay.relay import Relay
from parley_testing.eventually import eventually
from parley_testing.processes import started

TOPIC = {"session_topic_partitions": 4, "session_topic_replication": 1, "session_topic_min_isr": 1}

Restore = Callable[[], Awaitable[Ended]]


@pytest.fixture
def restore(run: Run, runtime_database: str, kafka_bootstrap: str, log_topic: str) -> Restore:
    return lambda: run("restore-log", runtime_database, **settings_of(kafka_bootstrap, log_topic))


def settings_of(bootstrap: str, topic: str) -> dict[str, Any]:
    topics = {"session_topic_sessions": topic, "session_topic_assistants": of_assistants(topic)}
    return {"kafka_bootstrap_servers": bootstrap} | topics | TOPIC


def of_assistants(topic: str) -> str:
    return f"{topic}.assistants"


async def drop_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()

    async def is_gone() -> bool:
        return topic not in await admin.list_topics()

    try:
        await admin.delete_topics([topic])
        await eventually(is_gone)
    finally:
        await admin.close()


async def test_a_dropped_topic_is_restored_during_writes_and_relaying(
    restore: Restore,
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    session_ids = [await append_turns(components, 4) for _ in range(4)]
    await relay_all(runtime_database, pool, kafka_bootstrap, log_topic)
    await drop_topic(kafka_bootstrap, log_topic)
    talking = True

    async def talk(session_id: UUID) -> None:
        while talking:
            await append_turn(components, session_id)

    async with relaying(
        runtime_database,
        lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
        number=2,
        publish_timeout_seconds=0.5,
    ):
        async with asyncio.TaskGroup() as talks:
            for session_id in session_ids[:2]:
                talks.create_task(talk(session_id))
            ended = await restore()
            talking = False
        await eventually(lambda: outbox_is_empty(pool))
    assert ended.code == 0
    # The relay of the service beside it logs that it could not write.
    assert all("parley_session.relay" in line for line in ended.stderr.splitlines())
    requeued, published, *_, next_step = ended.stdout.splitlines()
    assert requeued.startswith("Requeued 52 events missing from the log of sessions")
    assert published.startswith("Published 52 events, ")
    assert "`parley rebuild history`" in next_step
    await assert_all_in_log(pool, kafka_bootstrap, log_topic)


async def test_a_complete_log_is_not_changed(
    restore: Restore,
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    await append_sessions(components, sessions=2, turns=2)
    await relay_all(runtime_database, pool, kafka_bootstrap, log_topic)
    ended = await restore()
    assert ended.stdout.startswith("Requeued 0 events ")
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_only_missing_events_are_published_in_order(
    restore: Restore,
    pool: Pool,
    components: Components,
    runtime_database: str,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    await append_turns(components, 2)
    # As after a failover that lost outbox rows: the log has two of seven events.
    await pool.execute("DELETE FROM outbox WHERE sequence > 2")
    await relay_all(runtime_database, pool, kafka_bootstrap, log_topic)
    await append_turns(components, 1)
    ended = await restore()
    assert ended.stdout.startswith("Requeued 5 events ")
    await relay_all(runtime_database, pool, kafka_bootstrap, log_topic)
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_the_topic_of_assistants_is_restored_too(
    restore: Restore, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    stored = await pool.fetch("SELECT id::text, data::text FROM assistant_events")
    requeued = f"Requeued {len(stored)} events missing from the log of assistants"
    assert requeued in (await restore()).stdout
    records = await records_in(kafka_bootstrap, of_assistants(log_topic))
    values = {dict(record.headers)["ce_id"].decode(): record.value for record in records}
    assert values == {row["id"]: row["data"].encode() for row in stored}
    assert "Requeued 0 events missing from the log of assistants" in (await restore()).stdout
    assert len(await records_in(kafka_bootstrap, of_assistants(log_topic))) == len(stored)


async def test_a_killed_restore_that_is_repeated_keeps_the_order(
    restore: Restore,
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    await append_sessions(components, sessions=4, turns=60)
    await pool.execute("TRUNCATE outbox")
    settings = settings_of(kafka_bootstrap, log_topic) | {"session_relay_max_batch_events": 20}
    process = await started(
        "parley_session", "restore-log", **variables(runtime_database, **settings)
    )

    async def some_are_published() -> bool:
        return bool(0 < await pool.fetchval("SELECT count(*) FROM outbox") < 700)

    await eventually(some_are_published)
    process.kill()
    await process.communicate()
    # Another relay continues before the next run.
    await append_turns(components, 1)
    async with relaying(
        runtime_database,
        lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
        max_batch_events=20,
    ) as [relay]:
        await eventually(lambda: relay.published)
    assert (await restore()).code == 0
    await relay_all(runtime_database, pool, kafka_bootstrap, log_topic)
    await assert_all_in_log(pool, kafka_bootstrap, log_topic)


async def test_requeued_events_precede_pending_ones_and_are_queued_once(
    runtime_database: str, pool: Pool, components: Components
) -> None:
    session_id = await append_turns(components, 2)
    await pool.execute("DELETE FROM outbox WHERE sequence < 6")
    connection = await asyncpg.connect(runtime_database)
    async with relays_paused(connection):
        assert await requeue_first(connection, [(session_id, 2)]) == 3
        assert await requeue_first(connection, [(session_id, 1)]) == 1
        assert await requeue_first(connection, [(session_id, 1)]) == 0
    await connection.close()
    rows = await pool.fetch(
        """
        SELECT sequence, bytes = octet_length(data::text) AS right_size
        FROM outbox JOIN events USING (session_id, sequence) ORDER BY position
        """
    )
    assert [(row["sequence"], row["right_size"]) for row in rows] == [
        (n, True) for n in range(2, 8)
    ]


async def test_no_relay_publishes_while_relays_are_paused(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    connection = await asyncpg.connect(runtime_database)
    async with relaying(
        runtime_database, lambda: LogWriter(Brokers(kafka_bootstrap), log_topic)
    ) as [relay]:
        await eventually(lambda: relay.is_leader)
        async with relays_paused(connection):
            await append_turns(components, 1)
            await eventually(lambda: not relay.is_leader)
            assert not await outbox_is_empty(pool)
        await eventually(lambda: outbox_is_empty(pool))
    await connection.close()


async def test_an_unavailable_log_ends_the_restore_and_keeps_the_queue(
    runtime_database: str, pool: Pool, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await append_turns(components, 1)
    await pool.execute("TRUNCATE outbox")
    connection = await asyncpg.connect(runtime_database)
    await requeue_first(connection, [(session_id, 1)])
    urls = DatabaseUrls(url=runtime_database)
    away = Relay(urls, lambda: LogWriter(Brokers(NO_KAFKA), "none"), quick_limits())
    monkeypatch.setattr("parley_session.operations.log.restore.STALL_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(LogError, match=r"Nothing was published for 0.3 s. 3 events stay queued"):
        await relay_requeued(connection, away)
    await connection.close()
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 3
