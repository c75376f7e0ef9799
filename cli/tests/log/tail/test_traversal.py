"""Traversal of the log: order of time in bounded memory, and following across broker restarts."""

import asyncio
import os
import signal
from contextlib import suppress
from datetime import timedelta

from cli_fakes.conversation import MORNING, FakeConversation, append
from cli_fakes.tailed_log import Output, TailedLog

from parley_cli.engines import KafkaServer
from parley_cli.log.tail.command import TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.log.tail.log_record import LogRecord
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.traversal import read_range
from parley_core.log import Brokers, LogEntry, LogReader, ensure_topic, partition_of
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually


class CountingLog(ResilientLog):
    records = 0

    async def read(self, stall_timeout: float) -> list[LogEntry]:
        entries = await super().read(stall_timeout)
        self.records += len(entries)
        return entries


async def test_the_merge_buffers_few_records_even_if_one_partition_is_entirely_older(
    log: TailedLog,
) -> None:
    # Every record in the one partition is later than every record in the other.
    early, late = FakeConversation(), FakeConversation(started_at=MORNING + timedelta(days=30))
    while partition_with(late) == partition_with(early):
        late = FakeConversation(started_at=MORNING + timedelta(days=30))
    for _ in range(4_500):
        early.submitted("x")
        late.submitted("x")
    await log.append(late, early)
    reader = LogReader(log.brokers, log.topic)
    await reader.start()
    counting = CountingLog(reader, log.brokers, print)
    ends = await reader.end_positions()
    starts = dict.fromkeys(ends, 0)
    seen: list[LogRecord] = []
    max_buffered = 0
    async for batch in read_range(counting, lambda _: True, starts, ends, max_buffered=100):
        seen += batch
        max_buffered = max(max_buffered, counting.records - len(seen))
    await reader.close()
    assert len(seen) == 9_002
    assert seen == sorted(seen)
    assert max_buffered < 2_500


def partition_with(conversation: FakeConversation) -> int:
    return partition_of(str(conversation.id).encode(), range(4))


async def test_following_continues_after_the_broker_was_killed(
    kafka: KafkaServer, capsys: Output
) -> None:
    brokers = Brokers(kafka.bootstrap)
    await ensure_topic(brokers, TopicSpec("test", 2, 1, 1))
    first, second, third = FakeConversation("ada"), FakeConversation("bob"), FakeConversation("cyd")
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
        await eventually(lambda: has("Kafka is unavailable"))
        await kafka.stop()
        await kafka.start()
        await append(brokers, "test", third.records)
        await eventually(lambda: has("cyd"))
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert output["out"].count("session_started") == 3
    assert output["err"].splitlines() == [
        "Kafka is unavailable; reading resumes when it is back.",
        "Kafka is available again.",
    ]
