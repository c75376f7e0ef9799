"""The relay between Postgres and Kafka loses no event and preserves their order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from session_support.appending import append_sessions, append_turn, append_turns
from session_support.components import Components, components_on
from session_support.log_reading import assert_all_in_log, outbox_is_empty, records_in
from session_support.relaying import relaying

from parley_core.log import Brokers, LogWriter
from parley_core.storage.postgres_pool import Pool
from parley_events.cloudevents import Record
from parley_session.relay.outbox import Batch, Outbox, connection_settings
from parley_testing.eventually import eventually


@pytest.fixture
async def connection(runtime_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(runtime_database)
    yield connection
    await connection.close()


async def test_every_event_reaches_the_log_in_order_and_leaves_the_outbox(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    async with relaying(runtime_database, lambda: LogWriter(Brokers(kafka_bootstrap), log_topic)):
        await append_sessions(components, sessions=6, turns=4)
        await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


@pytest.mark.parametrize(
    "limits", [{"max_batch_events": 3}, {"max_batch_bytes": 1}, {"max_batch_bytes": 1500}]
)
async def test_small_batches_keep_the_order(
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
    limits: dict[str, int],
) -> None:
    await append_sessions(components, sessions=3, turns=3)
    async with relaying(
        runtime_database, lambda: LogWriter(Brokers(kafka_bootstrap), log_topic), **limits
    ):
        await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_an_append_wakes_the_relay(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    async with relaying(
        runtime_database,
        lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
        poll_interval_seconds=60,
    ) as [relay]:
        await append_turns(components, 1)
        relay.wake()
        await eventually(lambda: outbox_is_empty(pool))
        await append_turns(components, 1)
        relay.wake()
        await eventually(lambda: outbox_is_empty(pool))


async def test_a_writer_with_a_replaced_password_is_replaced_between_two_batches(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    class Writer(LogWriter):
        is_outdated = False

    writers: list[Writer] = []

    def new_writer() -> LogWriter:
        writers.append(Writer(Brokers(kafka_bootstrap), log_topic))
        return writers[-1]

    async with relaying(runtime_database, new_writer) as [relay]:
        await append_turns(components, 1)
        await eventually(lambda: outbox_is_empty(pool))
        writers[0].is_outdated = True
        await eventually(lambda: len(writers) == 2)
        await append_turns(components, 1)
        await eventually(lambda: outbox_is_empty(pool))
        assert relay.failures == 0
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_the_relay_can_be_woken_with_a_delay(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    async with relaying(
        runtime_database,
        lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
        poll_interval_seconds=60,
    ) as [relay]:
        relay.wake()
        await eventually(lambda: relay.is_leader)
        await append_turns(components, 1)
        relay.wake(delay_seconds=60)
        relay.wake(delay_seconds=0.01)  # The first delay counts.
        assert not await outbox_is_empty(pool)
        relay.wake()
        await eventually(lambda: outbox_is_empty(pool))
        await append_turns(components, 1)
        relay.wake(delay_seconds=0.01)
        await eventually(lambda: outbox_is_empty(pool))


async def test_concurrent_relays_lose_repeat_and_reorder_nothing(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    async with relaying(
        runtime_database,
        lambda: LogWriter(Brokers(kafka_bootstrap), log_topic),
        number=3,
        max_batch_events=5,
    ) as relays:
        appending = asyncio.create_task(append_sessions(components, sessions=6, turns=6))
        while not appending.done():
            for relay in relays:
                relay.wake()
            await asyncio.sleep(0)
        await appending
        await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_rows_that_commit_late_are_not_skipped(
    runtime_database: str,
    pool: Pool,
    components: Components,
    connection: asyncpg.Connection,
    kafka_bootstrap: str,
    log_topic: str,
) -> None:
    early = await append_turns(components, 1)
    async with relaying(runtime_database, lambda: LogWriter(Brokers(kafka_bootstrap), log_topic)):
        transaction = connection.transaction()
        await transaction.start()
        # Their positions precede those of rows that commit meanwhile.
        await append_turn(components_on(connection), early)  # type: ignore[arg-type]
        await append_turns(components, 2)
        await eventually(lambda: outbox_is_empty(pool))
        assert len(await records_in(kafka_bootstrap, log_topic)) == 4 + 7
        await transaction.commit()
        await eventually(lambda: outbox_is_empty(pool))
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_a_relay_reconnects_after_its_connection_was_cut(
    runtime_database: str, pool: Pool, components: Components, kafka_bootstrap: str, log_topic: str
) -> None:
    async with relaying(
        runtime_database, lambda: LogWriter(Brokers(kafka_bootstrap), log_topic), max_batch_events=2
    ):
        for _ in range(5):
            appending = asyncio.create_task(append_sessions(components, sessions=2, turns=3))
            await pool.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'parley-relay'
                """
            )
            await appending
        await eventually(lambda: outbox_is_empty(pool))
    await assert_all_in_log(pool, kafka_bootstrap, log_topic)


async def test_a_relay_waits_for_a_missing_topic(
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    away = True

    def writer() -> LogWriter:
        return LogWriter(Brokers("127.0.0.1:1" if away else kafka_bootstrap), log_topic)

    await append_turns(components, 1)
    async with relaying(runtime_database, writer):
        await eventually(lambda: "relay of sessions failed, retrying" in caplog.text)
        assert not await outbox_is_empty(pool)
        away = False
        await eventually(lambda: outbox_is_empty(pool))
        await eventually(lambda: "relay of sessions recovered" in caplog.text)
    # Only the first failure is logged.
    assert caplog.text.count("relay of sessions failed, retrying") == 1
    assert await assert_all_in_log(pool, kafka_bootstrap, log_topic) == 0


async def test_the_relay_survives_any_error(
    runtime_database: str,
    pool: Pool,
    components: Components,
    kafka_bootstrap: str,
    log_topic: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    surprises = [RuntimeError("private words")]

    def writer() -> LogWriter:
        if surprises:
            raise surprises.pop()
        return LogWriter(Brokers(kafka_bootstrap), log_topic)

    async with relaying(runtime_database, writer):
        await append_turns(components, 1)
        await eventually(lambda: outbox_is_empty(pool))
    assert "relay: RuntimeError" in caplog.text
    assert "private words" not in caplog.text


async def test_only_acknowledged_events_leave_the_outbox(
    pool: Pool, components: Components, connection: asyncpg.Connection
) -> None:
    await append_turns(components, 1)

    async def publish(records: Any) -> list[bool]:
        return [True, True, False, False]

    assert await Outbox(connection, 100, 10**6).drain_batch(publish) == Batch(4, full=False)
    rows = await pool.fetch("SELECT sequence FROM outbox ORDER BY position")
    assert [row["sequence"] for row in rows] == [3, 4]


async def test_a_relay_that_dies_while_publishing_leaves_its_rows_to_the_next(
    pool: Pool, components: Components, connection: asyncpg.Connection, runtime_database: str
) -> None:
    await append_turns(components, 1)
    publishing = asyncio.Event()

    async def never_ends(_: Any) -> list[bool]:
        publishing.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def publish(records: Sequence[Record]) -> list[bool]:
        return [True] * len(records)

    first = await asyncpg.connect(runtime_database)
    is_leader = asyncio.create_task(Outbox(first, 100, 10**6).drain_batch(never_ends))
    await publishing.wait()
    second = Outbox(connection, 100, 10**6)
    assert await second.drain_batch(publish) is None
    is_leader.cancel()
    first.terminate()
    await asyncio.gather(is_leader, return_exceptions=True)

    async def took_over() -> Batch | None:
        return await second.drain_batch(publish)

    assert await eventually(took_over) == Batch(4, full=False)
    assert await outbox_is_empty(pool)


async def test_the_idle_timeout_covers_one_publish(
    runtime_database: str,
) -> None:
    connection = await asyncpg.connect(
        runtime_database, server_settings=connection_settings(publish_timeout_seconds=7)
    )
    timeout = await connection.fetchval("SHOW idle_in_transaction_session_timeout")
    await connection.close()
    assert timeout == "9s"
