"""What session tells at GET /metrics."""

import asyncio
from typing import Any

from session_peers.log_reading import outbox_is_empty
from session_peers.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually
from parley_testing.passage import FaultyProxy

OUTBOX = {"parley_outbox_events", "parley_outbox_oldest_seconds"}


async def test_what_waits_in_the_outbox_is_counted_and_has_an_age(
    session: Service, pool: Pool
) -> None:
    told = await session.metrics()
    assert (told["parley_outbox_events"], told["parley_outbox_oldest_seconds"]) == (0, 0)
    await session.open_turn()
    await pool.execute("UPDATE events SET time = time - interval '1 hour' WHERE sequence = 1")
    told = await session.metrics()
    assert told["parley_outbox_events"] == 3
    assert 3600 <= told["parley_outbox_oldest_seconds"] < 3700
    told = await session.metrics("assistants")
    assert (told["parley_outbox_events"], told["parley_outbox_oldest_seconds"]) == (0, 0)
    await pool.execute(
        """
        INSERT INTO assistant_outbox (stream_id, sequence, bytes)
        SELECT stream_id, sequence, 1 FROM assistant_events
        """
    )
    told = await session.metrics("assistants")
    assert told["parley_outbox_events"] > 0
    assert told["parley_outbox_oldest_seconds"] > 0


async def test_appends_are_counted_with_their_times(session: Service) -> None:
    await session.open_turn()
    told = await session.metrics()
    assert told["parley_append_seconds_count"] == 2
    assert 0 < told["parley_append_seconds_sum"] < 10


async def test_what_the_relay_publishes_is_counted_and_the_leader_says_so(
    serve: Any, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    session = await serve(
        kafka=kafka_bootstrap, relay_topic=log_topic, relay_assistants_topic=log_topic
    )
    await session.open_turn()
    await eventually(lambda: outbox_is_empty(pool))
    told = await session.metrics()
    assert told["parley_relay_published_total"] == 3
    assert told["parley_relay_failures_total"] == 0
    assert told["parley_relay_leads"] == 1
    assert told["parley_outbox_events"] == 0

    async def leads_for_assistants() -> bool:
        return (await session.metrics("assistants"))["parley_relay_leads"] == 1

    await eventually(leads_for_assistants)
    assert (await session.metrics("assistants"))["parley_relay_published_total"] == 0


async def test_the_relays_failures_are_counted(serve: Any) -> None:
    session = await serve(relay_pause_seconds=0.01)

    async def failures() -> bool:
        return (await session.metrics())["parley_relay_failures_total"] > 2

    await eventually(failures)
    assert (await session.metrics())["parley_relay_leads"] == 0


async def test_while_the_store_is_away_or_silent_the_scrape_answers_without_it(
    serve: Any, store_database: str
) -> None:
    async with FaultyProxy.to(store_database) as passage:
        session = await serve(database=passage.database, session_metrics_seconds=0.1)

        async def are_there() -> bool:
            return (await session.metrics()).keys() >= OUTBOX

        await eventually(are_there)
        passage.silence()
        began = asyncio.get_running_loop().time()
        told = await session.metrics()
        assert asyncio.get_running_loop().time() - began < 2
        assert not OUTBOX & told.keys()
        assert "parley_relay_leads" in told
        passage.open()
        passage.close()
        assert not OUTBOX & (await session.metrics()).keys()
        passage.open()
        await eventually(are_there)
