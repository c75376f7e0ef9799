"""The log in the order of its times, in bounded memory, and followed while Kafka goes and comes."""

import asyncio
import os
import signal
from contextlib import suppress
from datetime import timedelta

from cli_peers.log import MORNING, Conversation, append
from cli_peers.tailed import Log, Output

from parley_cli.engines import KafkaServer
from parley_cli.log.tail.command import TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.traversal import in_time_order
from parley_core.log import Brokers, LogEntry, LogReader, ensure_topic, partition_of
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually


class CountingLog(ResilientLog):
    records = 0

    async def read(self, patience: float) -> list[LogEntry]:
        entries = await super().read(patience)
        self.records += len(entries)
        return entries


async def test_few_records_wait_for_their_turn_however_the_partitions_lie(log: Log) -> None:
    # All that is in the one partition is later than all that is in the other.
    early, late = Conversation(), Conversation(began=MORNING + timedelta(days=30))
    while partition_with(late) == partition_with(early):
        late = Conversation(began=MORNING + timedelta(days=30))
    for _ in range(4_500):
        early.said("x")
        late.said("x")
    await log.has(late, early)
    reader = LogReader(log.brokers, log.topic)
    await reader.start()
    counting = CountingLog(reader, log.brokers, print)
    ends = await reader.end_positions()
    starts = dict.fromkeys(ends, 0)
    seen: list[LogRecord] = []
    waited = 0
    async for batch in in_time_order(counting, lambda _: True, starts, ends, most_held=100):
        seen += batch
        waited = max(waited, counting.records - len(seen))
    await reader.close()
    assert len(seen) == 9_002
    assert seen == sorted(seen)
    assert waited < 2_500


def partition_with(talk: Conversation) -> int:
    return partition_of(str(talk.id).encode(), range(4))


async def test_following_goes_on_after_the_broker_was_killed(
    kafka: KafkaServer, capsys: Output
) -> None:
    brokers = Brokers(kafka.bootstrap)
    await ensure_topic(brokers, TopicSpec("test", 2, 1, 1))
    first, second, third = Conversation("ada"), Conversation("bob"), Conversation("cyd")
    await append(brokers, "test", first.records)
    output = {"out": "", "err": ""}

    def has(text: str) -> bool:
        read = capsys.readouterr()
        output["out"] += read.out
        output["err"] += read.err
        return text in output["out"] + output["err"]

    following = asyncio.create_task(
        tail(brokers, "test", TailOptions(FilterOptions(), follow=True), None)
    )
    try:
        await eventually(lambda: has("ada"))
        await append(brokers, "test", second.records)
        await eventually(lambda: has("bob"))
        os.kill(kafka.pid, signal.SIGKILL)
        await eventually(lambda: has("Kafka is away"))
        await kafka.stop()
        await kafka.start()
        await append(brokers, "test", third.records)
        await eventually(lambda: has("cyd"), within=20)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert output["out"].count("session_started") == 3
    assert output["err"].splitlines() == [
        "Kafka is away; the log is read on when it is back.",
        "Kafka is back.",
    ]
