"""The watchdog ends a projector that is behind and gets no further, and never another one."""

import asyncio
from dataclasses import dataclass, field

import pytest
from history_peers.log import relay_to
from history_peers.processes import ended, projector_environment, projector_of
from history_peers.stories import chat

from parley_core.log import LogUnreachable
from parley_history.projection.log_end_offsets import LogEnds
from parley_history.projection.read_model_stats import ProjectionStats, ProjectionStatsReader
from parley_history.projection.watchdog import ProjectorStalled, Watchdog, WatchdogLimits
from parley_history.projector_app import create_watchdog
from parley_history.settings import ProjectorSettings
from parley_history.storage.database_errors import DATABASE_TROUBLE
from parley_testing.eventually import eventually
from parley_testing.processes import started

LOOKS = 5


@dataclass
class World:
    """A projector, and what is to be seen of it: a script gives the moments, one for each look."""

    positions: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    ends: dict[int, int] | None = field(default_factory=lambda: {0: 10, 1: 0})
    database: bool = True
    joined: bool = True
    partitions: frozenset[int] = frozenset([0, 1])
    troubles_met: int = 0
    looks: int = 0

    async def read(self):
        self.looks += 1
        if self.ends is None:
            raise LogUnreachable("away")
        return self.ends

    async def close(self):
        pass


class Seen:
    """The read model's numbers of a world."""

    def __init__(self, world):
        self.world = world

    async def read(self):
        if not self.world.database:
            raise ConnectionError
        return ProjectionStats(dict(self.world.positions), 0, 0, 0)

    async def close(self):
        pass


async def stuck_after(world, change=lambda world: None, most=4 * LOOKS):
    """At which look the watchdog ends the projector; None when it does not."""
    watchdog = Watchdog(world, Seen(world), world, WatchdogLimits(1, LOOKS))
    for look in range(1, most + 1):
        change(world)
        await watchdog._look()
        try:
            watchdog._judge()
        except ProjectorStalled:
            return look
    return None


async def test_a_position_that_stands_still_behind_the_end_ends_the_projector():
    assert await stuck_after(World()) == LOOKS


async def test_at_the_end_of_the_log_a_projector_may_stand_still():
    assert await stuck_after(World(positions={0: 10, 1: 0})) is None


async def test_a_projector_that_moves_is_not_stuck_however_far_behind():
    def crawl(world):
        world.ends[0] += 100
        world.positions[0] += world.looks % 3 == 0

    assert await stuck_after(World(), crawl) is None


async def test_one_partition_that_stands_still_is_enough():
    def other_moves(world):
        world.positions[1] += 1
        world.ends[1] += 1

    assert await stuck_after(World(), other_moves) == LOOKS


async def test_the_partition_of_another_is_the_others_to_end_for_at_first():
    assert await stuck_after(World(partitions=frozenset([1]))) == 2 * LOOKS
    assert await stuck_after(World(partitions=frozenset())) == 2 * LOOKS


@pytest.mark.parametrize("wrong", [{"ends": None}, {"database": False}, {"joined": False}], ids=str)
async def test_what_was_away_for_a_moment_begins_the_count_again(wrong):
    usual = World()

    def wrong_once(world):
        for name, value in wrong.items():
            last = world.looks == LOOKS - 1
            setattr(world, name, value if last else getattr(usual, name))

    assert await stuck_after(World(), wrong_once) == 2 * LOOKS


async def test_a_projector_that_has_troubles_of_its_own_is_not_stuck():
    def meets_trouble(world):
        world.troubles_met += world.looks % (LOOKS - 1) == 0

    assert await stuck_after(World(), meets_trouble) is None


def settings_of(tables, kafka_bootstrap, log_topic, **more):
    return {
        "kafka": kafka_bootstrap,
        "projector_topic": log_topic,
        "projector_group": log_topic,
        "projector_look_seconds": 0.05,
        "projector_stuck_seconds": 0.5,
    } | more


async def test_a_projector_that_works_is_left_alone_and_its_lag_is_known(
    tables, kafka_bootstrap, log_topic
):
    settings = settings_of(tables, kafka_bootstrap, log_topic)
    projector = projector_of(tables.dsn, **settings)
    watchdog = create_watchdog(
        ProjectorSettings(history_database=tables.dsn, **settings), projector
    )
    stories = [chat(3) for _ in range(20)]
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        watching = asyncio.create_task(watchdog.run())
        for story in stories:
            await relay.publish(story.records)
        # Nobody projects yet, and the watchdog knows that nobody can.
        await eventually(lambda: sum(watchdog.lag.values()) == sum(s.version for s in stories))
        projecting = asyncio.create_task(projector.run())
        await eventually(lambda: watchdog.lag == dict.fromkeys(range(4), 0), within=15)
        for task in (projecting, watching):
            assert not task.done()
            task.cancel()
        await asyncio.gather(projecting, watching, return_exceptions=True)


async def test_engines_that_are_away_are_unknown_and_known_again(tables, log_topic):
    numbers = ProjectionStatsReader(tables.dsn, seconds=5)
    assert (await numbers.read()).positions == {}
    await tables.connection.execute("ALTER TABLE positions RENAME TO away")
    with pytest.raises(DATABASE_TROUBLE):
        await numbers.read()
    await tables.connection.execute("ALTER TABLE away RENAME TO positions")
    await tables.connection.execute("INSERT INTO positions VALUES (2, 7)")
    assert (await numbers.read()).positions == {2: 7}
    await numbers.close()
    nowhere = LogEnds(
        ProjectorSettings(history_database=tables.dsn, kafka="127.0.0.1:9").brokers,
        log_topic,
        seconds=1,
    )
    for _ in range(2):
        with pytest.raises(LogUnreachable):
            await nowhere.read()


async def test_a_process_that_hangs_ends_with_code_1_and_a_sentence(
    tables, kafka_bootstrap, log_topic
):
    environment = projector_environment(
        tables,
        kafka_bootstrap,
        log_topic,
        PARLEY_PROJECTOR_LOOK_SECONDS="0.1",
        PARLEY_PROJECTOR_STUCK_SECONDS="0.5",
    )
    story = chat(1)
    async with relay_to(kafka_bootstrap, log_topic) as relay:
        await relay.publish(story.records)
        process = await started("history_peers.stuck_projector", "project", **environment)
        sentence = (await ended(process)).splitlines()[-1]
    assert process.returncode == 1
    assert f"has {story.version} events that are not projected" in sentence
    assert sentence.endswith("The projector ends, to be started anew.")
    assert await tables.versions([story]) == {}
