"""The broker is killed and restarted during writes: no event is lost."""

import asyncio
from typing import Any

import pytest
from session_support.log_reading import assert_all_in_log, outbox_is_empty, records_in
from session_support.relaying import quick_limits

from parley_cli.engines import KafkaServer
from parley_core.log import Brokers, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import SESSIONS_TOPIC, TopicSpec
from parley_testing.eventually import eventually


@pytest.mark.usefixtures("frequent_measurements")
async def test_no_event_is_lost_when_the_broker_is_killed(
    serve: Any, kafka: KafkaServer, pool: Pool
) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec(SESSIONS_TOPIC, 4, 1, 1))
    session = await serve(
        kafka_bootstrap_servers=kafka.bootstrap,
        RELAY_LIMITS=quick_limits(),
        session_relay_max_batch_events=20,
    )
    ended, turns = asyncio.Event(), 0

    async def talk() -> None:
        nonlocal turns
        session_id = (await session.start())["id"]
        while not ended.is_set():
            await session.answered(session_id, "hello", "hi")
            turns += 1

    async def some_are_in_the_log() -> bool:
        return len(await records_in(kafka.bootstrap, SESSIONS_TOPIC)) > 20

    async with asyncio.TaskGroup() as talks:
        for _ in range(4):
            talks.create_task(talk())
        await eventually(some_are_in_the_log)
        kafka.child.kill()
        await kafka.child.wait()
        before = turns
        await eventually(lambda: turns > before + 40)

        async def are_pending() -> bool:
            metrics = await session.metrics()
            assert 0 <= metrics["parley_session_outbox_oldest_age_seconds"] < 60
            return bool(metrics["parley_session_outbox_pending_events"] > 3 * 40)

        await eventually(are_pending)
        await kafka.start()
        before = turns
        await eventually(lambda: turns > before + 10)
        ended.set()
    await eventually(lambda: outbox_is_empty(pool))

    async def none_are_pending() -> bool:
        return bool((await session.metrics())["parley_session_outbox_pending_events"] == 0)

    await eventually(none_are_pending)
    await assert_all_in_log(pool, kafka.bootstrap, SESSIONS_TOPIC)
