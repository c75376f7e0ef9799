"""Several projectors share the log; whatever becomes of each, every event is projected once."""

import random
import signal
from itertools import pairwise

from history_peers.log import relay_to
from history_peers.processes import ended, projector_environment
from history_peers.read_model import folded
from history_peers.stories import chat, mixed

from parley_testing.eventually import eventually
from parley_testing.processes import started


def log_of(stories, chance):
    """Their records, a fifth of them again somewhat later, as relays that take over repeat them."""
    records = mixed(stories, chance)
    again = [
        (place + chance.expovariate(1 / 50), record)
        for place, record in enumerate(records)
        if chance.random() < 0.2
    ]
    placed = sorted([*enumerate(records), *again], key=lambda one: one[0])
    return [record for _, record in placed]


def parts_of(records, number):
    cuts = [len(records) * part // number for part in range(number + 1)]
    return [records[start:end] for start, end in pairwise(cuts)]


async def test_a_replica_joins_one_is_stopped_and_goes_on_and_one_is_killed(
    tables, kafka_bootstrap, log_topic
):
    stories, chance = [chat(12) for _ in range(150)], random.Random(7)
    parts = parts_of(log_of(stories, chance), 4)
    published = 0

    async def replica():
        environment = projector_environment(
            tables, kafka_bootstrap, log_topic, PARLEY_PROJECTOR_RECORDS="50"
        )
        return await started("parley_history", "project", **environment)

    async def applied():
        return sum((await tables.positions()).values())

    async def publish(part):
        nonlocal published
        published += len(part)
        await relay.publish(part)

    async def has_applied(least):
        async def so_many():
            return await applied() >= least

        await eventually(so_many, within=40)

    async with relay_to(kafka_bootstrap, log_topic) as relay:
        first, second = await replica(), await replica()
        await publish(parts[0])
        await has_applied(1)
        third = await replica()
        await publish(parts[1])
        await has_applied(len(parts[0]) + 50)
        first.send_signal(signal.SIGSTOP)
        # Without the first one all is applied only once its partitions were given to the others.
        await has_applied(published)
        await publish(parts[2])
        first.send_signal(signal.SIGCONT)
        await has_applied(len(parts[0]) + len(parts[1]) + 50)
        second.kill()
        assert await applied() < published, "killed too late to prove anything"
        await publish(parts[3])
        await has_applied(published)

    assert await applied() == published
    assert await tables.rows() == folded(*stories)
    assert (await tables.dead_letters(), await tables.held()) == ([], [])
    await second.communicate()
    for replica in (first, third):
        assert replica.returncode is None, "a replica that was well has ended"
        await ended(replica, signal.SIGTERM)
        assert replica.returncode == 0
