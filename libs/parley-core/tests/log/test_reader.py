import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.consumer import fetcher

from parley_cli.engines import KafkaServer, free_port
from parley_core.log import (
    Brokers,
    LogError,
    LogReader,
    LogWriter,
    PositionOutOfRange,
    ensure_topic,
)
from parley_core.log.aiokafka_internals import RecordsWithAnyHeader
from parley_events.cloudevents import Record
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction


@asynccontextmanager
async def opened(client: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await client.start()
        yield client


async def append(bootstrap: Any, topic: Any, *values: str, key: str = "key") -> None:
    records = [Record(key.encode(), [], value.encode()) for value in values]
    async with opened(LogWriter(Brokers(bootstrap), topic)) as writer:
        assert (await writer.append(records, timeout=15)).error is None


def values(entries: Any) -> list[str]:
    return [entry.record.value.decode() for entry in entries]


@asynccontextmanager
async def admin_of(bootstrap: Any) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    yield admin
    await admin.close()


async def partition_of_key(reader: Any) -> int:
    """Return the only partition that is not empty."""
    [partition] = [p for p, end in (await reader.end_positions()).items() if end]
    return int(partition)


async def test_positions_count_the_records_of_each_partition(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "one", "two", "three")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        assert await reader.beginning_positions() == {0: 0, 1: 0, 2: 0, 3: 0}
        assert sorted((await reader.end_positions()).values()) == [0, 0, 0, 3]


async def test_a_reader_starts_at_the_given_position(kafka_bootstrap: str, topic: str) -> None:
    await append(kafka_bootstrap, topic, "zero", "one", "two", "three")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        partition = await partition_of_key(reader)
        reader.seek({partition: 1})
        [first, second] = await reader.read(max_records=2)
        rest = await reader.read()
        reader.seek({partition: 3})
        again = await reader.read()

    assert (first.partition, first.offset, first.record.value) == (partition, 1, b"one")
    assert second.offset == 2
    assert values(rest) == values(again) == ["three"]


async def test_positions_at_a_time_are_those_of_the_first_later_records(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "old", "older")
    between = datetime.now(UTC) + timedelta(milliseconds=1)
    await eventually(lambda: datetime.now(UTC) > between)
    await append(kafka_bootstrap, topic, "new", "newer")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        partition = await partition_of_key(reader)
        at_first = await reader.positions_at(datetime.fromtimestamp(0, UTC))
        assert at_first == {0: 0, 1: 0, 2: 0, 3: 0}
        assert (await reader.positions_at(between))[partition] == 2
        in_an_hour = await reader.positions_at(between + timedelta(hours=1))
        assert in_an_hour == await reader.end_positions()


async def test_a_read_at_the_end_returns_empty_within_its_timeout(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "old")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        reader.seek(await reader.end_positions())
        async with asyncio.timeout(15):
            assert await reader.read(timeout=0.2) == []


async def test_a_reader_continues_past_a_transaction_marker(
    kafka_bootstrap: str, topic: str
) -> None:
    await append_in_transaction(kafka_bootstrap, topic, [Record(b"key", [], b"only")])

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        ends = await reader.end_positions()
        assert sorted(ends.values()) == [0, 0, 0, 2]
        reader.seek(await reader.beginning_positions())
        entries = []
        while reader.positions != ends:
            entries += await reader.read(timeout=0.2)
        assert values(entries) == ["only"]


async def test_header_escaping_is_installed_for_readers(kafka_bootstrap: str, topic: str) -> None:
    async with opened(LogReader(Brokers(kafka_bootstrap), topic)):
        assert fetcher.MemoryRecords is RecordsWithAnyHeader


async def test_a_reader_at_the_end_reads_what_is_appended_later(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "old")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        reader.seek(await reader.end_positions())
        for text in ("new", "newer"):
            await append(kafka_bootstrap, topic, text)
            assert values(await eventually(reader.read)) == [text]


async def test_a_position_past_the_end_is_an_error_at_each_read(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "only")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        partition = await partition_of_key(reader)
        reader.seek({partition: 5})
        for _ in range(2):
            with pytest.raises(
                PositionOutOfRange, match=f"Partition {partition} of .* position 5"
            ) as error:
                await reader.read(timeout=5)
            assert (error.value.partition, error.value.position) == (partition, 5)


async def test_a_truncated_position_is_an_error_and_skips_nothing(
    kafka_bootstrap: str, topic: str
) -> None:
    await append(kafka_bootstrap, topic, "zero", "one", "two")

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        partition = await partition_of_key(reader)
        target = TopicPartition(topic, partition)
        async with admin_of(kafka_bootstrap) as admin:
            await admin.delete_records({target: RecordsToDelete(before_offset=2)})
        assert (await reader.beginning_positions())[partition] == 2
        reader.seek({partition: 0})
        with pytest.raises(PositionOutOfRange, match="has no position 0"):
            await reader.read(timeout=5)


async def test_an_error_in_one_partition_skips_nothing_in_another(
    kafka_bootstrap: str, topic: str
) -> None:
    for key in "abcdefgh":
        await append(kafka_bootstrap, topic, key, key=key)

    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        ends = await reader.end_positions()
        bad = min(ends)
        reader.seek(dict.fromkeys(ends, 0) | {bad: 99})
        seen: list[Any] = []
        errors = 0
        async with asyncio.timeout(10):
            while len(seen) < 8 - ends[bad] or not errors:
                try:
                    seen += await reader.read(max_records=1)
                except PositionOutOfRange:
                    errors += 1

    assert {entry.partition for entry in seen} == {p for p in ends if ends[p]} - {bad}
    assert len(set(values(seen))) == len(seen) == 8 - ends[bad]


async def test_a_corrupt_batch_is_an_error_and_skips_nothing_elsewhere(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 8, 1, 1))
    for number in range(40):
        await append(kafka.bootstrap, "test", f"{number}", key=f"{number}")

    async with opened(LogReader(Brokers(kafka.bootstrap), "test")) as reader:
        ends = await reader.end_positions()
        corrupt = max(ends, key=ends.__getitem__)
        [segment] = (tmp_path / "kafka" / "records" / f"test-{corrupt}").glob("*.log")
        with segment.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
        reader.seek(dict.fromkeys(ends, 0))
        seen: list[Any] = []
        errors: list[Any] = []
        async with asyncio.timeout(20):
            while len(seen) < 40 - 1:
                try:
                    seen += await reader.read(max_records=1 if errors else 2000)
                except LogError as error:
                    errors.append(str(error))

    assert len(set(values(seen))) == 39
    assert "Invalid CRC" in errors[0]


async def test_a_deleted_topic_is_an_error(kafka_bootstrap: str, topic: str) -> None:
    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        reader.seek(await reader.end_positions())
        async with admin_of(kafka_bootstrap) as admin:
            await admin.delete_topics([topic])

        async def read_until_it_fails() -> None:
            while True:
                await reader.read(timeout=0.1)

        with pytest.raises(LogError, match="no longer exists"):
            await asyncio.wait_for(read_until_it_fails(), 10)


async def test_an_unknown_partition_is_an_error(kafka_bootstrap: str, topic: str) -> None:
    async with opened(LogReader(Brokers(kafka_bootstrap), topic)) as reader:
        with pytest.raises(LogError, match="has no partition 4"):
            reader.seek({0: 0, 4: 0})


async def test_a_reader_continues_after_the_broker_was_killed(kafka: KafkaServer) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 1, 1, 1))
    await append(kafka.bootstrap, "test", "before")

    async with opened(LogReader(Brokers(kafka.bootstrap), "test")) as reader:
        reader.seek({0: 0})
        assert values(await reader.read(timeout=5)) == ["before"]
        os.kill(kafka.pid, signal.SIGKILL)
        assert await reader.read(timeout=0.5) == []
        await kafka.stop()
        await kafka.start()
        await append(kafka.bootstrap, "test", "after")
        assert values(await eventually(reader.read)) == ["after"]


async def test_a_reader_without_broker_or_topic_fails_within_its_timeout(
    kafka_bootstrap: str,
) -> None:
    with pytest.raises(LogError, match="cannot be read: KafkaConnectionError"):
        await LogReader(Brokers(f"127.0.0.1:{free_port()}"), "test").start(timeout=3)
    with pytest.raises(LogError, match="cannot be read: TimeoutError"):
        await LogReader(Brokers(kafka_bootstrap), "test.missing").start(timeout=1)
