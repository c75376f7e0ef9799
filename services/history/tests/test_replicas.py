"""Several projectors share the log; every event is projected once, whatever happens to them."""

import random
import signal
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from history_testing.log import relay_to
from history_testing.processes import projector_environment, stderr_at_exit
from history_testing.read_model import ReadModelTables, folded
from history_testing.stories import Story, chat, mixed

from parley_events.cloudevents import Record
from parley_testing.eventually import eventually
from parley_testing.processes import started


def log_of(stories: Sequence[Story], chance: random.Random) -> Any:
    """Return the records, a fifth of them repeated later, as by relays that take over."""
    records = mixed(stories, chance)
    again = [
        (index + chance.expovariate(1 / 50), record)
        for index, record in enumerate(records)
        if chance.random() < 0.2
    ]
    delivery = sorted([*enumerate(records), *again], key=lambda each: each[0])
    return [record for _, record in delivery]


def parts_of(records: list[Record], number: Any) -> Any:
    cuts = [len(records) * part // number for part in range(number + 1)]
    return [records[start:end] for start, end in pairwise(cuts)]


async def test_replicas_may_join_be_suspended_and_be_killed(
    tables: ReadModelTables, kafka_bootstrap: str, log_topic: str
) -> None:
    stories, chance = [chat(12) for _ in range(150)], random.Random(7)
    parts = parts_of(log_of(stories, chance), 4)
    published = 0

    async def replica() -> Any:
        environment = projector_environment(
            tables, kafka_bootstrap, log_topic, PARLEY_HISTORY_PROJECTOR_BATCH_SIZE="50"
        )
        return await started("parley_history", "project", **environment)

    async def applied() -> Any:
        return sum((await tables.positions()).values())

    async def publish(part: Any) -> None:
        nonlocal published
        published += len(part)
        await relay.publish(part)

    async def wait_for_applied(count: Any) -> None:
        async def are_applied() -> Any:
            return await applied() >= count

        await eventually(are_applied, within=40)

    async with relay_to(kafka_bootstrap, log_topic) as relay:
        first, second = await replica(), await replica()
        await publish(parts[0])
        await wait_for_applied(1)
        third = await replica()
        await publish(parts[1])
        await wait_for_applied(len(parts[0]) + 50)
        first.send_signal(signal.SIGSTOP)
        # All is applied only after the partitions of the suspended replica are reassigned.
        await wait_for_applied(published)
        await publish(parts[2])
        first.send_signal(signal.SIGCONT)
        await wait_for_applied(len(parts[0]) + len(parts[1]) + 50)
        second.kill()
        assert await applied() < published, "killed too late to prove anything"
        await publish(parts[3])
        await wait_for_applied(published)

    assert await applied() == published
    assert await tables.rows() == folded(*stories)
    assert (await tables.dead_letters(), await tables.deferred()) == ([], [])
    await second.communicate()
    for process in (first, third):
        assert process.returncode is None, "a healthy replica has exited"
        await stderr_at_exit(process, signal.SIGTERM)
        assert process.returncode == 0
