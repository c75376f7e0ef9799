"""Metrics of the session service at GET /metrics."""

from typing import Any

import pytest
from session_support.log_reading import outbox_is_empty
from session_support.relaying import quick_limits
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_session.storage.due_sessions import DueSessions
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy

pytestmark = pytest.mark.usefixtures("frequent_measurements")

PENDING = "parley_session_outbox_pending_events"
OLDEST_AGE = "parley_session_outbox_oldest_age_seconds"
IS_LEADER = "parley_session_leader"
PUBLISHED = "parley_session_relay_published_events_total"
FAILURES = "parley_session_relay_failures_total"
ERASURES_DUE = "parley_session_erasures_due"
WRAPPED_KEYS = "parley_session_wrapped_keys"
APPEND_DURATION = "parley_session_append_duration_seconds"
OUTBOX = {PENDING, OLDEST_AGE}


async def until_pending(session: Service, events: int, stream: str = "sessions") -> float:
    """The age of the oldest event, once this number of events is pending."""

    async def reported() -> bool:
        return (await session.metrics(stream)).get(PENDING) == events

    await eventually(reported)
    return (await session.metrics(stream))[OLDEST_AGE]


async def test_pending_events_are_counted_and_the_oldest_has_an_age(
    session: Service, pool: Pool
) -> None:
    assert await until_pending(session, 0) == 0
    await pool.execute("SELECT 1")
    await session.open_turn()
    await until_pending(session, 3)
    await pool.execute("UPDATE events SET time = time - interval '1 hour' WHERE sequence = 1")

    async def is_an_hour_old() -> bool:
        return 3600 <= (await session.metrics())[OLDEST_AGE] < 3700

    await eventually(is_an_hour_old)
    assert await until_pending(session, 0, "assistants") == 0
    await pool.execute(
        """
        INSERT INTO assistant_outbox (stream_id, sequence, bytes)
        SELECT stream_id, sequence, 1 FROM assistant_events LIMIT 1
        """
    )
    assert await until_pending(session, 1, "assistants") > 0


async def test_one_process_reports_the_outboxes_and_another_takes_over(serve: Any) -> None:
    async with serve.stoppable() as first:
        await until_pending(first, 0)
        second = await serve()
        assert not OUTBOX & (await second.metrics()).keys()
    await until_pending(second, 0)


async def test_the_duration_of_appends_is_measured(session: Service) -> None:
    await session.open_turn()
    metrics = await session.metrics()
    assert metrics[f"{APPEND_DURATION}_count"] == 2
    assert 0 < metrics[f"{APPEND_DURATION}_sum"] < 10


async def test_published_events_are_counted_and_the_leader_is_marked(
    serve: Any, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    session = await serve(
        kafka_bootstrap_servers=kafka_bootstrap,
        session_topic_sessions=log_topic,
        session_topic_assistants=log_topic,
    )
    await session.open_turn()
    await eventually(lambda: outbox_is_empty(pool))
    metrics = await session.metrics()
    assert (metrics[PUBLISHED], metrics[FAILURES]) == (3, 0)
    assert (await session.metrics("sessions_relay"))[IS_LEADER] == 1

    async def leads_every_job() -> bool:
        jobs = ("assistants_relay", "retention", "store_monitor")
        return all([(await session.metrics(job))[IS_LEADER] == 1 for job in jobs])

    await eventually(leads_every_job)
    assert (await session.metrics("assistants"))[PUBLISHED] == 0


async def test_failures_of_the_relay_are_counted(serve: Any) -> None:
    session = await serve(RELAY_LIMITS=quick_limits(publish_timeout_seconds=2))

    async def has_failed() -> bool:
        return bool((await session.metrics())[FAILURES] > 2)

    await eventually(has_failed)
    assert (await session.metrics("sessions_relay"))[IS_LEADER] == 0


async def test_stored_keys_and_due_erasures_are_counted(serve: Any, pool: Pool) -> None:
    async with serve.stoppable() as first:
        await first.open_turn()
    async with pool.acquire() as connection, connection.transaction():
        # Nothing is erased meanwhile.
        assert await DueSessions(connection).try_lock(60)
        await pool.execute("UPDATE sessions SET erase_at = now() - interval '1 day'")
        session = await serve()

        async def are_counted() -> bool:
            metrics = await session.metrics("k1")
            return bool(metrics.get(ERASURES_DUE) == 1 and metrics.get(WRAPPED_KEYS, 0) >= 1)

        await eventually(are_counted)
        await pool.execute("UPDATE sessions SET held = true")

        async def is_none_due() -> bool:
            return bool((await session.metrics()).get(ERASURES_DUE) == 0)

        await eventually(is_none_due)


async def test_stored_keys_are_counted_again_after_the_database_was_unavailable(
    serve: Any, store_database: str
) -> None:
    async with FaultyProxy.to(store_database) as proxy:
        session = await serve(database=proxy.database)
        await until_pending(session, 0)
        await session.open_turn()
        proxy.close()
        proxy.open()

        async def are_counted_again() -> bool:
            return bool((await session.metrics("k1")).get(WRAPPED_KEYS, 0) > 0)

        await eventually(are_counted_again)


async def test_a_scrape_omits_the_outboxes_while_the_database_is_unavailable(
    serve: Any, store_database: str
) -> None:
    async with serve.stoppable() as first:
        await first.open_turn()
    async with FaultyProxy.to(store_database) as proxy:
        session = await serve(database=proxy.database, session_database_timeout_seconds=0.5)

        async def has_outboxes() -> bool:
            # The keys are counted last, with a timeout of their own of 30 seconds.
            are_counted = WRAPPED_KEYS in await session.metrics("k1")
            return are_counted and bool((await session.metrics()).keys() >= OUTBOX)

        async def has_no_outboxes() -> bool:
            return not OUTBOX & (await session.metrics()).keys()

        await eventually(has_outboxes)
        proxy.silence()
        await eventually(has_no_outboxes)
        assert IS_LEADER in await session.metrics("sessions_relay")
        proxy.open()
        proxy.close()
        await eventually(has_no_outboxes)
        proxy.open()
        await eventually(has_outboxes)
