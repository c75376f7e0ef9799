"""The watchdog ends a projector with lag but no progress, and no other."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from history_testing.log import relay_to
from history_testing.processes import (
    project_settings,
    projector_environment,
    stderr_at_exit,
)
from history_testing.read_model import ReadModelTables
from history_testing.stories import chat

from parley_core.log import Brokers, LogUnreachable
from parley_history.projection import log_end_offsets
from parley_history.projection import watchdog as watchdog_module
from parley_history.projection.log_end_offsets import LogEndOffsets
from parley_history.projection.watchdog import ProjectorStalled, Watchdog
from parley_history.projector_app import create_projector, create_watchdog
from parley_history.storage.database_errors import DATABASE_ERRORS
from parley_history.storage.projection_stats import ProjectionStats, ProjectionStatsReader
from parley_testing.eventually import eventually
from parley_testing.processes import started

CHECKS = 5


@dataclass
class World:
    """Simulated projector and log; a script changes them before each check."""

    positions: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    ends: dict[int, int] | None = field(default_factory=lambda: {0: 10, 1: 0})
    database: bool = True
    joined: bool = True
    partitions: frozenset[int] = frozenset([0, 1])
    failures: int = 0
    checks: int = 0

    async def read(self) -> Any:
        self.checks += 1
        if self.ends is None:
            raise LogUnreachable("away")
        return self.ends

    async def close(self) -> None:
        pass


class StatsFake:
    """The read-model statistics of a simulated world."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def read(self) -> Any:
        if not self.world.database:
            raise ConnectionError
        return ProjectionStats(dict(self.world.positions), 0, 0, 0)

    async def close(self) -> None:
        pass


async def stalled_after(
    world: World, change: Any = lambda world: None, max_checks: Any = 4 * CHECKS
) -> Any:
    """Return the check at which the watchdog ends the projector; None when it does not."""
    watchdog = Watchdog(
        world,
        StatsFake(world),
        world,
        CHECKS * watchdog_module.CHECK_INTERVAL_SECONDS,
    )
    for check in range(1, max_checks + 1):
        change(world)
        await watchdog._observe()
        try:
            watchdog._require_progress()
        except ProjectorStalled:
            return check
    return None


async def test_an_unchanged_position_behind_the_end_ends_the_projector() -> None:
    assert await stalled_after(World()) == CHECKS


async def test_a_projector_at_the_end_of_the_log_is_not_stalled() -> None:
    assert await stalled_after(World(positions={0: 10, 1: 0})) is None


async def test_a_slow_projector_is_not_stalled() -> None:
    def crawl(world: World) -> None:
        assert world.ends is not None
        world.ends[0] += 100
        world.positions[0] += world.checks % 3 == 0

    assert await stalled_after(World(), crawl) is None


async def test_one_stalled_partition_is_enough() -> None:
    def other_moves(world: World) -> None:
        world.positions[1] += 1
        assert world.ends is not None
        world.ends[1] += 1

    assert await stalled_after(World(), other_moves) == CHECKS


async def test_the_owner_of_a_stalled_partition_is_ended_first() -> None:
    assert await stalled_after(World(partitions=frozenset([1]))) == 2 * CHECKS
    assert await stalled_after(World(partitions=frozenset())) == 2 * CHECKS


@pytest.mark.parametrize("wrong", [{"ends": None}, {"database": False}, {"joined": False}], ids=str)
async def test_a_transient_failure_restarts_the_count(wrong: Any) -> None:
    usual = World()

    def wrong_once(world: World) -> None:
        for name, value in wrong.items():
            last = world.checks == CHECKS - 1
            setattr(world, name, value if last else getattr(usual, name))

    assert await stalled_after(World(), wrong_once) == 2 * CHECKS


async def test_a_projector_that_reports_failures_is_not_stalled() -> None:
    def report_failure(world: World) -> None:
        world.failures += world.checks % (CHECKS - 1) == 0

    assert await stalled_after(World(), report_failure) is None


async def test_a_working_projector_is_not_ended_and_its_lag_is_known(
    tables: ReadModelTables,
    kafka_bootstrap: str,
    log_topic: str,
    log_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog_module, "CHECK_INTERVAL_SECONDS", 0.05)
    settings = project_settings(tables.runtime_dsn, stall_timeout_seconds=0.5, **log_settings)
    projector = create_projector(settings)
    watchdog = create_watchdog(settings, projector)
    stories = [chat(3) for _ in range(20)]
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        watching = asyncio.create_task(watchdog.run())
        for story in stories:
            await relay.publish(story.records)
        # The projector has not joined its group, so the lag is no stall.
        await eventually(lambda: sum(watchdog.lag.values()) == sum(s.version for s in stories))
        projecting = asyncio.create_task(projector.run())
        await eventually(lambda: watchdog.lag == dict.fromkeys(range(4), 0), within=15)
        for task in (projecting, watching):
            assert not task.done()
            task.cancel()
        await asyncio.gather(projecting, watching, return_exceptions=True)


async def test_readers_recover_after_failures_of_their_source(
    tables: ReadModelTables, log_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = ProjectionStatsReader(tables.settings)
    assert (await stats.read()).positions == {}
    await tables.connection.execute("ALTER TABLE positions RENAME TO away")
    with pytest.raises(DATABASE_ERRORS):
        await stats.read()
    await tables.connection.execute("ALTER TABLE away RENAME TO positions")
    await tables.connection.execute("INSERT INTO positions VALUES (2, 7)")
    assert (await stats.read()).positions == {2: 7}
    await stats.close()
    monkeypatch.setattr(log_end_offsets, "TIMEOUT_SECONDS", 1)
    unreachable = LogEndOffsets(Brokers("127.0.0.1:9"), log_topic)
    for _ in range(2):
        with pytest.raises(LogUnreachable):
            await unreachable.read()


async def test_a_hanging_process_exits_with_code_1_and_a_message(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    environment = projector_environment(
        tables,
        kafka_bootstrap,
        log_topic,
        PARLEY_HISTORY_PROJECTOR_STALL_TIMEOUT_SECONDS="0.5",
    )
    story = chat(1)
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(story.records)
        process = await started("history_testing.stalled_projector", "project", **environment)
        stderr = await stderr_at_exit(process)
    assert process.returncode == 1
    # What has its sentence is no unexpected error.
    assert "background task" not in stderr
    sentence = stderr.splitlines()[-1]
    assert sentence.startswith("Projector stalled: partition ")
    assert f" lags by {story.version} events " in sentence
    assert await tables.versions([story]) == {}
