"""The projector recovers from failures of its database and its log."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from history_testing.log import Relay
from history_testing.processes import project_settings, projecting
from history_testing.read_model import ReadModelTables, folded, projected
from history_testing.stories import chat, mixed

from parley_cli.engines import free_port
from parley_core.log import LogError
from parley_history.projection import projector as projector_module
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.projector_app import create_projector
from parley_testing.eventually import eventually


@asynccontextmanager
async def tcp_proxy(address: Any, target: Any) -> AsyncIterator[Any]:
    """Forwards connections from the address to the target."""

    async def pump(reader: Any, writer: Any) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def forward(reader: Any, writer: Any) -> None:
        host, port = target.split(":")
        target_reader, target_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, target_writer), pump(target_reader, writer))

    host, port = address.split(":")
    async with await asyncio.start_server(forward, host, port):
        yield


async def test_the_age_of_the_oldest_event_grows_until_it_is_projected(
    tables: ReadModelTables, relay: Relay, log_settings: dict[str, Any]
) -> None:
    story = chat(1)
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await eventually(lambda: projector.is_working)
        async with tables.connection.transaction():
            await tables.connection.execute("LOCK TABLE messages IN EXCLUSIVE MODE")
            await relay.publish(story.records)
            await eventually(lambda: projector.oldest_unprojected == story.events[0].time)
        await eventually(projected(tables, [story]))
        await eventually(lambda: projector.oldest_unprojected is None)


async def test_an_event_is_projected_though_the_outcome_of_its_commit_was_unknown(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply = ActiveReadModel.apply

    async def commit_and_fail(read_model: ActiveReadModel, records: Any, updates: Any) -> Any:
        await apply(read_model, records, updates)
        raise ConnectionError

    monkeypatch.setattr(ActiveReadModel, "apply", commit_and_fail)
    story = chat(1)
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await relay.publish(story.records)
        await eventually(projected(tables, [story]))
        await eventually(lambda: projector.oldest_unprojected is None)


async def test_the_projector_survives_lost_database_connections(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stories = [chat(4) for _ in range(40)]
    records = mixed(stories, random.Random(4))

    async def disconnect() -> Any:
        return await tables.connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'parley-projector' AND datname = current_database()"
        )

    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        for start in range(0, len(records), 50):
            await relay.publish(records[start : start + 50])
            await eventually(disconnect)
        await eventually(projected(tables, stories))
        await eventually(lambda: projector.is_working)
    assert await tables.rows() == folded(*stories)
    assert "projector paused, retrying" in caplog.text


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
async def test_a_failed_batch_is_read_again_from_the_stored_positions(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    committed: Any,
) -> None:
    apply, failures = ActiveReadModel.apply, [True, True, False, True]

    async def fail_sometimes(read_model: ActiveReadModel, records: Any, updates: Any) -> Any:
        fail = failures.pop() if failures else False
        if fail and not committed:
            raise ConnectionError
        parked = await apply(read_model, records, updates)
        if fail:
            raise ConnectionError
        return parked

    monkeypatch.setattr(ActiveReadModel, "apply", fail_sometimes)
    stories = [chat(2) for _ in range(9)]
    records = mixed(stories, random.Random(1))
    async with projecting(project_settings(tables.runtime_dsn, batch_size=20, **log_settings)):
        await relay.publish(records)
        await eventually(projected(tables, stories))
    assert not failures
    assert await tables.rows() == folded(*stories)
    assert await tables.deferred() == []


async def test_the_projector_shows_whether_it_works(
    tables: ReadModelTables, relay: Relay, log_settings: dict[str, Any]
) -> None:
    story = chat(1)
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        assert not projector.joined
        await eventually(lambda: projector.is_working)
        await tables.connection.execute("ALTER TABLE positions RENAME TO away")
        await relay.publish(story.records)
        await eventually(lambda: not projector.is_working)
        await tables.connection.execute("ALTER TABLE away RENAME TO positions")
        await eventually(projected(tables, [story]))
        await eventually(lambda: projector.is_working)


async def test_a_position_beyond_the_log_stops_projection_until_a_rebuild(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost, story = chat(3), chat(1)
    await tables.connection.execute("INSERT INTO positions VALUES (0, 7), (1, 7), (2, 7), (3, 7)")
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await eventually(lambda: "parley rebuild history" in caplog.text)
        # The log has grown past the position, but its first seven records were never applied.
        await relay.publish(lost.records)
        before = projector.failures
        await eventually(lambda: projector.failures > before + 3)
        assert set((await tables.positions()).values()) == {7}
        # A swap after a rebuild has the same effect.
        await tables.connection.execute("UPDATE positions SET next = 0")
        await relay.publish(story.records)
        await eventually(projected(tables, [lost, story]))


async def test_a_missing_topic_ends_the_projector(
    tables: ReadModelTables, kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "JOIN_TIMEOUT_SECONDS", 0.5)
    settings = project_settings(tables.runtime_dsn, bootstrap_servers=kafka_bootstrap, topic=topic)
    with pytest.raises(LogError, match=topic):
        async with asyncio.timeout(15):
            await create_projector(settings).run()


async def test_a_projector_may_start_before_kafka(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    kafka_bootstrap: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story, address = chat(1), f"127.0.0.1:{free_port()}"
    await relay.publish(story.records)
    async with projecting(
        project_settings(tables.runtime_dsn, **log_settings | {"bootstrap_servers": address})
    ) as projector:
        await eventually(lambda: "projector paused, retrying" in caplog.text)
        assert not projector.joined
        async with tcp_proxy(address, kafka_bootstrap):
            await eventually(projected(tables, [story]))
            assert projector.is_working
