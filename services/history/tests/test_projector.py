"""The projector on a real log: what is published is projected, once, whatever happens between."""

import asyncio
import logging
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from uuid import uuid4

import pytest
from history_peers.log import relay_to
from history_peers.processes import projecting, projector_of
from history_peers.read_model import folded
from history_peers.stories import chat, mixed

from parley_cli.engines import free_port
from parley_core.log import Brokers, LogError, LogReader, TopicSpec, ensure_topic
from parley_history.read_model import ReadModel
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction


@pytest.fixture
def settings(kafka_bootstrap, log_topic):
    """A projector's settings, with a group of this test alone."""
    return {"kafka": kafka_bootstrap, "projector_topic": log_topic, "projector_group": log_topic}


@pytest.fixture
async def relay(kafka_bootstrap, log_topic):
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        yield relay


@asynccontextmanager
async def passage(address, target):
    """Lets connections to the address through to the target."""

    async def pump(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def through(reader, writer):
        host, port = target.split(":")
        target_reader, target_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, target_writer), pump(target_reader, writer))

    host, port = address.split(":")
    async with await asyncio.start_server(through, host, port):
        yield


async def ends_of(bootstrap, topic):
    reader = LogReader(Brokers(bootstrap), topic)
    await reader.start()
    try:
        return await reader.end_positions()
    finally:
        await reader.close()


def projected(tables, stories):
    """Whether the read model has come as far as the stories."""

    async def far_enough():
        return await tables.versions(stories) == {story.id: story.version for story in stories}

    return far_enough


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
    await tables.connection.execute("TRUNCATE sessions, messages")
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


async def test_the_database_may_go_away_at_any_time(tables, relay, settings, caplog):
    stories = [chat(4) for _ in range(40)]
    records = mixed(stories, random.Random(4))

    async def cut_off():
        return await tables.connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'parley-projector' AND datname = current_database()"
        )

    async with projecting(tables.dsn, **settings) as projector:
        for start in range(0, len(records), 50):
            await relay.publish(records[start : start + 50])
            await eventually(cut_off, within=15)
        await eventually(projected(tables, stories), within=20)
        await eventually(lambda: projector.missing == [])
    assert await tables.rows() == folded(*stories)
    assert "The projector goes on trying." in caplog.text


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
async def test_a_batch_that_fails_is_read_again_from_where_the_read_model_is(
    tables, relay, settings, monkeypatch, committed
):
    project, fails = ReadModel.project, [True, True, False, True]

    async def failing_at_times(read_model, arrivals, moves):
        fail = fails.pop() if fails else False
        if fail and not committed:
            raise ConnectionError
        parked = await project(read_model, arrivals, moves)
        if fail:
            raise ConnectionError
        return parked

    monkeypatch.setattr(ReadModel, "project", failing_at_times)
    stories = [chat(2) for _ in range(9)]
    records = mixed(stories, random.Random(1))
    async with projecting(tables.dsn, projector_records=20, **settings):
        await relay.publish(records)
        await eventually(projected(tables, stories), within=20)
    assert not fails
    assert await tables.rows() == folded(*stories)
    assert await tables.held() == []


async def test_while_the_read_model_fails_the_projector_says_what_it_waits_for(
    tables, relay, settings
):
    story = chat(1)
    async with projecting(tables.dsn, **settings) as projector:
        assert projector.missing == ["log"]
        await eventually(lambda: projector.missing == [], within=15)
        await tables.connection.execute("ALTER TABLE positions RENAME TO away")
        await relay.publish(story.records)
        await eventually(lambda: projector.missing == ["read model"])
        await tables.connection.execute("ALTER TABLE away RENAME TO positions")
        await eventually(projected(tables, [story]))
        await eventually(lambda: projector.missing == [])


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


async def test_a_position_that_the_log_does_not_hold_stops_the_projection_until_a_rebuild(
    tables, relay, settings, caplog
):
    lost, story = chat(3), chat(1)
    await tables.connection.execute("INSERT INTO positions VALUES (0, 7), (1, 7), (2, 7), (3, 7)")
    async with projecting(tables.dsn, **settings) as projector:
        await eventually(lambda: "parley rebuild history" in caplog.text, within=15)
        # Past the position by now, with records of which the first seven were never applied.
        await relay.publish(lost.records)
        before = projector.troubles_met
        await eventually(lambda: projector.troubles_met > before + 3)
        assert set((await tables.positions()).values()) == {7}
        # As a rebuild's swap leaves them.
        await tables.connection.execute("UPDATE positions SET next = 0")
        await relay.publish(story.records)
        await eventually(projected(tables, [lost, story]), within=15)


async def test_a_log_without_the_topic_ends_the_projector(tables, kafka_bootstrap, topic):
    settings = {"kafka": kafka_bootstrap, "projector_topic": topic, "projector_join_seconds": 0.5}
    with pytest.raises(LogError, match=topic):
        async with asyncio.timeout(15):
            await projector_of(tables.dsn, **settings).run()


async def test_a_projector_may_start_before_kafka_answers(
    tables, relay, settings, kafka_bootstrap, caplog
):
    story, address = chat(1), f"127.0.0.1:{free_port()}"
    await relay.publish(story.records)
    async with projecting(tables.dsn, **settings | {"kafka": address}) as projector:
        await eventually(lambda: "The projector goes on trying" in caplog.text)
        assert projector.missing == ["log"]
        async with passage(address, kafka_bootstrap):
            await eventually(projected(tables, [story]), within=15)
            assert projector.missing == []


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
