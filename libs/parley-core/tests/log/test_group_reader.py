import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from parley_cli.engines import KafkaServer, free_port
from parley_core.log import (
    Brokers,
    GroupReader,
    LogError,
    LogUnreachable,
    LogWriter,
    PositionOutOfRange,
    ensure_topic,
)
from parley_events.cloudevents import Record
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually


class Projection:
    """A projector's state: the next position of each partition, and the applied records."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.applied: list[bytes] = []

    async def positions_of(self, partitions: Any) -> Any:
        await asyncio.sleep(0)
        return {partition: self.next.get(partition, 0) for partition in partitions}

    def apply(self, reader: Any, entries: Any) -> None:
        for partition, offset, record in entries:
            expected = self.next.get(partition, 0)
            assert offset <= expected, f"{expected} to {offset} of {partition} was skipped"
            if offset < expected:
                reader.seek(partition, expected)
                continue
            self.next[partition] = offset + 1
            self.applied.append(record.value)

    async def run(self, reader: Any, hint_error: int = 0) -> None:
        while True:
            entries = await reader.read(max_records=50, timeout=0.1)
            self.apply(reader, entries)
            await reader.commit_offsets({e.partition: e.offset + 1 + hint_error for e in entries})


@asynccontextmanager
async def opened(client: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await client.start()
        yield client


@asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        if not isinstance(outcome, asyncio.CancelledError):
            raise outcome


async def append(writer: Any, numbers: Any) -> None:
    records = [Record(f"{n % 16}".encode(), [], f"{n}".encode()) for n in numbers]
    assert (await writer.append(records, timeout=15)).error is None


async def test_a_member_starts_at_the_callers_positions_not_at_committed_offsets(
    kafka_bootstrap: str, topic: str
) -> None:
    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        await append(writer, [1, 1, 1, 1, 1])
    kept = Projection()
    async with opened(
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
    ) as reader:
        kept.apply(reader, entries := await reader.read(timeout=5))
        partition = entries[0].partition
        await reader.commit_offsets({partition: 4})

    for position in (1, 5):
        kept.next[partition] = position
        async with opened(
            GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
        ) as again:
            entries = await again.read(timeout=1)
            assert [entry.offset for entry in entries] == list(range(position, 5))


async def test_a_member_can_seek_after_a_position_conflict(
    kafka_bootstrap: str, topic: str
) -> None:
    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        await append(writer, [1, 1, 1])
    reader = GroupReader(Brokers(kafka_bootstrap), topic, topic, Projection().positions_of)
    async with opened(reader):
        entries = await reader.read(timeout=5)
        reader.seek(entries[0].partition, 1)
        assert [entry.offset for entry in await reader.read(timeout=5)] == [1, 2]
        reader.seek(99, 0)


async def test_no_record_is_lost_when_members_join_and_leave(
    kafka_bootstrap: str, topic: str
) -> None:
    kept = Projection()
    first, second = (
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of) for _ in range(2)
    )
    # The committed offsets are wrong on purpose: reading from them would skip records.
    async with (
        opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer,
        opened(first),
        running(kept.run(first, hint_error=7)),
    ):
        await append(writer, range(500))
        async with opened(second), running(kept.run(second, hint_error=7)):
            for start in range(500, 1500, 100):
                await append(writer, range(start, start + 100))
            await eventually(
                lambda: len(first.partitions) == len(second.partitions) == 2, within=15
            )
            assert first.partitions | second.partitions == {0, 1, 2, 3}
            await append(writer, range(1500, 2000))
            await eventually(lambda: len(kept.applied) == 2000)
        for start in range(2000, 3000, 100):
            await append(writer, range(start, start + 100))
        await eventually(lambda: len(kept.applied) == 3000)
        assert first.partitions == {0, 1, 2, 3}

    assert sorted(int(value) for value in kept.applied) == list(range(3000))


async def test_records_of_an_assignment_made_during_a_read_are_not_returned(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        await append(writer, [1, 1, 1])
    kept = Projection()
    async with opened(
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
    ) as reader:
        kept.apply(reader, await reader.read(timeout=5))
        await reader.commit_offsets(dict.fromkeys(range(4), 0))
        getmany, reached = AIOKafkaConsumer.getmany, []

        async def reassigned_first(consumer: Any, **arguments: Any) -> Any:
            before = consumer.assignment()
            consumer._coordinator.request_rejoin()
            await eventually(lambda: consumer.assignment() is not before)
            # Without a seek, aiokafka reads from the committed offset: records applied already.
            while not (batches := await getmany(consumer, **arguments)):
                pass
            reached.append(batches)
            return batches

        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaConsumer, "getmany", reassigned_first)
            assert await reader.read(timeout=10) == []
        assert reached, "aiokafka handed out nothing, so nothing was held back"
        async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
            await append(writer, [1])
        assert [entry.offset for entry in await reader.read(timeout=5)] == [3]


async def test_an_error_of_load_positions_propagates_and_the_member_stays_usable(
    kafka_bootstrap: str, topic: str
) -> None:
    answers = iter([ConnectionError("the database is away"), dict.fromkeys(range(4), 0)])

    async def positions_of(partitions: Any) -> Any:
        if isinstance(response := next(answers), Exception):
            raise response
        return response

    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        await append(writer, [1])
    async with opened(GroupReader(Brokers(kafka_bootstrap), topic, topic, positions_of)) as reader:
        with pytest.raises(ConnectionError):
            await reader.read()
        assert [entry.offset for entry in await reader.read(timeout=5)] == [0]


async def test_a_position_out_of_range_is_an_error_at_each_read(
    kafka_bootstrap: str, topic: str
) -> None:
    kept = Projection()
    kept.next[2] = 7
    async with opened(
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
    ) as reader:
        for _ in range(2):
            with pytest.raises(PositionOutOfRange, match=r"Partition 2 of .* position 7"):
                await reader.read(timeout=5)


async def test_a_failed_offset_commit_is_not_an_error(
    kafka_bootstrap: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley_core.log")
    kept = Projection()
    async with opened(
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
    ) as reader:
        await reader.commit_offsets({})
        await reader.commit_offsets({99: 1})
        reader._consumer._coordinator.generation += 1
        await reader.commit_offsets({0: 1})
    assert "99" in caplog.text
    assert "CommitFailedError" in caplog.text


async def test_committed_offsets_expose_the_lag(kafka_bootstrap: str, topic: str) -> None:
    kept = Projection()
    async with opened(
        GroupReader(Brokers(kafka_bootstrap), topic, topic, kept.positions_of)
    ) as reader:
        await reader.commit_offsets({3: 12})
        assert await reader._consumer.committed(TopicPartition(topic, 3)) == 12


async def test_a_member_continues_after_the_broker_was_killed(kafka: KafkaServer) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 4, 1, 1))
    kept = Projection()
    async with opened(
        GroupReader(Brokers(kafka.bootstrap), "test", "group", kept.positions_of)
    ) as reader:
        async with running(kept.run(reader)):
            async with opened(LogWriter(Brokers(kafka.bootstrap), "test")) as writer:
                await append(writer, range(100))
                await eventually(lambda: len(kept.applied) == 100)
                os.kill(kafka.pid, signal.SIGKILL)
                await kafka.stop()
            await kafka.start()
            async with opened(LogWriter(Brokers(kafka.bootstrap), "test")) as writer:
                await append(writer, range(100, 200))
            await eventually(lambda: len(kept.applied) == 200)
        os.kill(kafka.pid, signal.SIGKILL)
        assert await reader.read(timeout=0.2) == []
        async with asyncio.timeout(15):
            await reader.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sorted(int(value) for value in kept.applied) == list(range(200))


async def test_a_member_closes_within_seconds_while_the_broker_hangs(kafka: KafkaServer) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 4, 1, 1))
    kept = Projection()
    reader = GroupReader(Brokers(kafka.bootstrap), "test", "group", kept.positions_of)
    await reader.start()
    await reader.read(timeout=0.1)
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(8):
            await reader.commit_offsets({0: 1})
            await reader.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
    finally:
        os.kill(kafka.pid, signal.SIGCONT)


async def test_a_member_without_broker_or_topic_fails_within_its_timeout(
    kafka_bootstrap: str,
) -> None:
    address, kept = f"127.0.0.1:{free_port()}", Projection()
    with pytest.raises(LogUnreachable, match="cannot be read: KafkaConnectionError"):
        await GroupReader(Brokers(address), "test", "group", kept.positions_of).start(timeout=3)
    with pytest.raises(LogError, match="cannot be read: TimeoutError"):
        await GroupReader(Brokers(kafka_bootstrap), "none", "group", kept.positions_of).start(
            timeout=1
        )
