"""The projector while its database or its log fails."""

import asyncio
import random
from contextlib import asynccontextmanager, suppress

import pytest
from history_peers.processes import projecting, projector_of
from history_peers.read_model import folded, projected
from history_peers.stories import chat, mixed

from parley_cli.engines import free_port
from parley_core.log import LogError
from parley_history.projection.active_read_model import ReadModel
from parley_testing.eventually import eventually


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
