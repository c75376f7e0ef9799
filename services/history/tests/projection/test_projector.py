"""The projector on a real log: every published record is projected once."""

import logging
import random
from contextlib import AsyncExitStack
from typing import Any, cast
from uuid import uuid4

import pytest
from history_testing.log import Relay
from history_testing.processes import project_settings, projecting
from history_testing.read_model import ReadModelTables, folded, projected
from history_testing.stories import chat, mixed

from parley_core.log import Brokers, GroupReader, LogReader, ensure_topic
from parley_events.topics import TopicSpec
from parley_history.projection import projector as projector_module
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction


async def ends_of(bootstrap: Any, topic: str) -> Any:
    reader = LogReader(Brokers(bootstrap), topic)
    await reader.start()
    try:
        return await reader.end_positions()
    finally:
        await reader.close()


async def test_records_published_before_and_after_the_start_are_projected(
    tables: ReadModelTables, relay: Relay, log_settings: dict[str, Any]
) -> None:
    early, late = [chat(3) for _ in range(20)], [chat(3) for _ in range(20)]
    await relay.publish(mixed(early, random.Random(1)))
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await eventually(projected(tables, early))
        assert projector.is_working
        await relay.publish(mixed(late, random.Random(2)))
        await eventually(projected(tables, late))
    assert await tables.rows() == folded(*early, *late)


async def test_the_marker_of_a_transaction_does_not_remain_as_lag(
    tables: ReadModelTables, log_settings: dict[str, Any]
) -> None:
    bootstrap, topic, story = log_settings["bootstrap_servers"], log_settings["topic"], chat(1)
    await append_in_transaction(bootstrap, topic, story.records)
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)):
        [marker] = [at for at in (await ends_of(bootstrap, topic)).values() if at]
        assert marker == len(story.records) + 1

        async def is_past_marker() -> bool:
            return marker in (await tables.positions()).values()

        await eventually(is_past_marker)
    assert await tables.rows() == folded(story)


async def test_a_projector_resumes_where_the_previous_one_stopped(
    tables: ReadModelTables, relay: Relay, log_settings: dict[str, Any]
) -> None:
    first, second = [chat(2) for _ in range(9)], [chat(2) for _ in range(9)]
    await relay.publish(mixed(first, random.Random(1)))
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)):
        await eventually(projected(tables, first))
    # Records that were read a second time would reappear.
    await tables.connection.execute("TRUNCATE sessions, messages, usage")
    await relay.publish(mixed(second, random.Random(1)))
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)):
        await eventually(projected(tables, second))
    assert await tables.rows() == folded(*second)
    assert sum((await tables.positions()).values()) == sum(s.version for s in first + second)


async def test_a_poison_record_parks_its_session_and_stalls_no_other(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    parked, others = chat(2), [chat(2) for _ in range(20)]
    poison = parked.records[1]
    poison = type(poison)(poison.key, poison.headers, b'{"content": "xylophone"}')
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)):
        await relay.publish([parked.records[0], poison, *parked.records[1:]])
        await relay.publish(mixed(others, random.Random(1)))
        await eventually(projected(tables, others))

        async def has_dead_letters() -> bool:
            return len(await tables.dead_letters()) == parked.version

        await eventually(has_dead_letters)
    [line] = [line for line in caplog.messages if "parked" in line]
    assert str(parked.id) in line
    assert "xylophone" not in line


async def test_two_projectors_share_the_log_and_take_over_from_each_other(
    tables: ReadModelTables, relay: Relay, log_settings: dict[str, Any]
) -> None:
    stories = [chat(12) for _ in range(60)]
    records = mixed(stories, random.Random(3))
    parts = [records[start : start + 300] for start in range(0, len(records), 300)]
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as first:
        await relay.publish(parts[0])
        async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as second:
            for part in parts[1:4]:
                await relay.publish(part)
            await eventually(
                lambda: len(first._log.partitions) == len(second._log.partitions) == 2, within=20
            )
            for part in parts[4:6]:
                await relay.publish(part)
        for part in parts[6:]:
            await relay.publish(part)
        await eventually(projected(tables, stories))
    assert await tables.rows() == folded(*stories)


@pytest.mark.parametrize("last", [0, 1])
async def test_a_projector_with_a_stale_position_resumes_from_the_stored_one(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    last: Any,
) -> None:
    caplog.set_level(logging.INFO, "parley_history")
    first, second = [chat(2) for _ in range(9)], [chat(2) for _ in range(9)]
    async with AsyncExitStack() as one, AsyncExitStack() as other:
        # As members of different groups, both are assigned all partitions.
        other_group = log_settings | {"group": f"{uuid4()}"}
        both = [
            await one.enter_async_context(
                projecting(project_settings(tables.runtime_dsn, **log_settings))
            ),
            await other.enter_async_context(
                projecting(project_settings(tables.runtime_dsn, **other_group))
            ),
        ]
        await eventually(lambda: all(len(each._next) == 4 for each in both), within=20)
        records = mixed(first, random.Random(1))
        for start in range(0, len(records), 7):
            await relay.publish(records[start : start + 7])
        await eventually(projected(tables, first))
        await eventually(lambda: "another projector moved the positions" in caplog.text)
        # Each has lost some races, so the remaining one may hold stale positions.
        await (one, other)[last].aclose()
        await relay.publish(mixed(second, random.Random(1)))
        await eventually(projected(tables, second))
    assert await tables.rows() == folded(*first, *second)


async def test_a_projector_without_partitions_is_ready(
    tables: ReadModelTables, kafka_bootstrap: str, topic: str
) -> None:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 1, 1, 1))
    settings = project_settings(
        tables.runtime_dsn, bootstrap_servers=kafka_bootstrap, topic=topic, group=topic
    )
    async with (
        projecting(settings) as first,
        projecting(settings) as second,
    ):
        await eventually(lambda: first.is_working and second.is_working)
        await eventually(lambda: len(first._log.partitions | second._log.partitions) == 1)


async def test_offsets_are_committed_to_the_group(
    tables: ReadModelTables,
    relay: Relay,
    log_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = chat(1)
    monkeypatch.setattr(projector_module, "OFFSET_COMMIT_INTERVAL_SECONDS", 0.05)
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await relay.publish(story.records)
        await eventually(projected(tables, [story]))

        async def committed() -> bool:
            consumer = cast(GroupReader, projector._log)._consumer
            assert consumer is not None
            offsets = [await consumer.committed(each) for each in consumer.assignment()]
            return sum(offset or 0 for offset in offsets) == story.version

        await eventually(committed)


async def test_the_projector_leaves_no_connection_behind(
    tables: ReadModelTables, log_settings: dict[str, Any]
) -> None:
    async with projecting(project_settings(tables.runtime_dsn, **log_settings)) as projector:
        await eventually(lambda: projector.is_working)

    async def disconnected() -> Any:
        left = await tables.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'parley-projector' AND datname = current_database()"
        )
        return left == 0

    await eventually(disconnected)
