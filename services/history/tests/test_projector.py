"""The projector on a real log: what is published is projected, once, whatever happens between."""

import logging
import random
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from history_peers.processes import projecting
from history_peers.read_model import folded, projected
from history_peers.stories import chat, mixed

from parley_core.log import Brokers, LogReader, ensure_topic
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction


async def ends_of(bootstrap, topic):
    reader = LogReader(Brokers(bootstrap), topic)
    await reader.start()
    try:
        return await reader.end_positions()
    finally:
        await reader.close()


async def test_what_is_published_before_and_after_the_start_is_projected(tables, relay, settings):
    early, late = [chat(3) for _ in range(20)], [chat(3) for _ in range(20)]
    await relay.publish(mixed(early, random.Random(1)))
    async with projecting(tables.dsn, **settings) as projector:
        await eventually(projected(tables, early), within=15)
        assert projector.missing == []
        await relay.publish(mixed(late, random.Random(2)))
        await eventually(projected(tables, late))
    assert await tables.rows() == folded(*early, *late)


async def test_the_mark_of_a_transaction_does_not_stay_a_lag(tables, settings):
    bootstrap, topic, story = settings["kafka"], settings["projector_topic"], chat(1)
    await append_in_transaction(bootstrap, topic, story.records)
    async with projecting(tables.dsn, **settings):
        [mark] = [at for at in (await ends_of(bootstrap, topic)).values() if at]
        assert mark == len(story.records) + 1

        async def past_it():
            return mark in (await tables.positions()).values()

        await eventually(past_it, within=15)
    assert await tables.rows() == folded(story)


async def test_a_projector_begins_again_where_the_last_one_stopped(tables, relay, settings):
    first, second = [chat(2) for _ in range(9)], [chat(2) for _ in range(9)]
    await relay.publish(mixed(first, random.Random(1)))
    async with projecting(tables.dsn, **settings):
        await eventually(projected(tables, first), within=15)
    # Were the old records read again, this would project them again.
    await tables.connection.execute("TRUNCATE sessions, messages, usage")
    await relay.publish(mixed(second, random.Random(1)))
    async with projecting(tables.dsn, **settings):
        await eventually(projected(tables, second), within=15)
    assert await tables.rows() == folded(*second)
    assert sum((await tables.positions()).values()) == sum(s.version for s in first + second)


async def test_poison_parks_its_session_and_stalls_nobody(tables, relay, settings, caplog):
    parked, others = chat(2), [chat(2) for _ in range(20)]
    poison = parked.records[1]
    poison = type(poison)(poison.key, poison.headers, b'{"content": "xylophone"}')
    async with projecting(tables.dsn, **settings):
        await relay.publish([parked.records[0], poison, *parked.records[1:]])
        await relay.publish(mixed(others, random.Random(1)))
        await eventually(projected(tables, others), within=15)

        async def buried():
            return len(await tables.dead_letters()) == parked.version

        await eventually(buried)
    [line] = [line for line in caplog.messages if "parked" in line]
    assert str(parked.id) in line
    assert "xylophone" not in line


async def test_two_projectors_share_the_log_and_either_takes_over(tables, relay, settings):
    stories = [chat(12) for _ in range(60)]
    records = mixed(stories, random.Random(3))
    parts = [records[start : start + 300] for start in range(0, len(records), 300)]
    async with projecting(tables.dsn, **settings) as first:
        await relay.publish(parts[0])
        async with projecting(tables.dsn, **settings) as second:
            for part in parts[1:4]:
                await relay.publish(part)
            await eventually(
                lambda: len(first._log.partitions) == len(second._log.partitions) == 2, within=20
            )
            for part in parts[4:6]:
                await relay.publish(part)
        for part in parts[6:]:
            await relay.publish(part)
        await eventually(projected(tables, stories), within=20)
    assert await tables.rows() == folded(*stories)


@pytest.mark.parametrize("last", [0, 1])
async def test_a_projector_whose_position_is_stale_goes_on_from_the_true_one(
    tables, relay, settings, caplog, last
):
    caplog.set_level(logging.INFO, "parley_history")
    first, second = [chat(2) for _ in range(9)], [chat(2) for _ in range(9)]
    async with AsyncExitStack() as one, AsyncExitStack() as other:
        # Of two groups, both hold all partitions.
        other_group = settings | {"projector_group": f"{uuid4()}"}
        both = [
            await one.enter_async_context(projecting(tables.dsn, **settings)),
            await other.enter_async_context(projecting(tables.dsn, **other_group)),
        ]
        await eventually(lambda: all(len(each._next) == 4 for each in both), within=20)
        records = mixed(first, random.Random(1))
        for start in range(0, len(records), 7):
            await relay.publish(records[start : start + 7])
        await eventually(projected(tables, first), within=20)
        await eventually(lambda: "Another projector was faster" in caplog.text)
        # Whichever goes on alone has lost at times, and holds stale positions.
        await (one, other)[last].aclose()
        await relay.publish(mixed(second, random.Random(1)))
        await eventually(projected(tables, second), within=20)
    assert await tables.rows() == folded(*first, *second)


async def test_a_third_projector_of_two_partitions_stands_by_and_is_ready(
    tables, kafka_bootstrap, topic
):
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 1, 1, 1))
    settings = {"kafka": kafka_bootstrap, "projector_topic": topic, "projector_group": topic}
    async with (
        projecting(tables.dsn, **settings) as first,
        projecting(tables.dsn, **settings) as second,
    ):
        await eventually(lambda: first.missing == second.missing == [], within=20)
        await eventually(lambda: len(first._log.partitions | second._log.partitions) == 1)


async def test_the_lag_is_told_to_the_group(tables, relay, settings):
    story = chat(1)
    async with projecting(tables.dsn, projector_hint_seconds=0.05, **settings) as projector:
        await relay.publish(story.records)
        await eventually(projected(tables, [story]), within=15)

        async def hinted():
            consumer = projector._log._consumer
            offsets = [await consumer.committed(place) for place in consumer.assignment()]
            return sum(offset or 0 for offset in offsets) == story.version

        await eventually(hinted)


async def test_the_projector_leaves_no_connection_behind(tables, settings):
    async with projecting(tables.dsn, **settings) as projector:
        await eventually(lambda: projector.missing == [], within=15)

    async def gone():
        left = await tables.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'parley-projector' AND datname = current_database()"
        )
        return left == 0

    await eventually(gone)
