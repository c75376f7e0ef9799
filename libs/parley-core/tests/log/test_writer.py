import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import compress
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from parley_cli.engines import KafkaServer, free_port
from parley_core.log import Brokers, LogError, LogReader, LogWriter, ensure_topic
from parley_events.cloudevents import MAX_ENCODED_BYTES, Record
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually

RANDOM = random.Random(7)  # Deterministic.
CLOSED = "not started, busy, failed or closed"


def record(key: str, number: int) -> Record:
    headers = [("ce_id", str(number).encode()), ("ce_type", "é".encode()), ("empty", b"")]
    return Record(key=key.encode(), headers=headers, value=b'{"n": %d}' % number)


@asynccontextmanager
async def opened(client: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await client.start()
        yield client


async def all_entries(bootstrap: Any, topic: Any) -> Any:
    async with opened(LogReader(Brokers(bootstrap), topic)) as reader:
        reader.seek(await reader.beginning_positions())
        missing = sum((await reader.end_positions()).values())
        entries: list[Any] = []
        while len(entries) < missing:
            entries += await reader.read()
        return entries


async def test_appended_records_are_read_back_byte_for_byte(
    kafka_bootstrap: str, topic: str
) -> None:
    records = [record("a", 1), Record(key=b"\xff", headers=[], value=bytes(range(256)))]

    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        appended = await writer.append(records, timeout=5)

    assert appended.error is None
    assert appended.acknowledged == [True, True]
    entries = await all_entries(kafka_bootstrap, topic)
    assert sorted((entry.record for entry in entries), key=lambda r: r.key) == records


async def test_the_records_of_a_key_keep_their_order_in_one_partition(
    kafka_bootstrap: str, topic: str
) -> None:
    # Values of 1 KiB fill several batches per partition.
    filling = RANDOM.randbytes(1024)
    keys = [str(uuid4()).encode() for _ in range(8)]
    records = [Record(keys[n % 8], [("n", str(n).encode())], filling) for n in range(4_000)]

    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        for start in range(0, 4_000, 2_000):
            assert not (await writer.append(records[start : start + 2_000], timeout=20)).error

    read = await all_entries(kafka_bootstrap, topic)
    assert len(read) == 4_000
    for key in keys:
        of_key = [entry for entry in read if entry.record.key == key]
        assert [entry.record for entry in of_key] == [r for r in records if r.key == key]
        assert len({entry.partition for entry in of_key}) == 1


async def test_appending_no_records_succeeds(kafka_bootstrap: str, topic: str) -> None:
    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        assert (await writer.append([], timeout=1)).error is None


async def test_an_oversized_record_is_rejected_and_the_writer_stays_usable(
    kafka_bootstrap: str, topic: str
) -> None:
    largest = Record(b"key", [], RANDOM.randbytes(MAX_ENCODED_BYTES - 3))
    too_large = Record(b"key", [], largest.value + b"!")

    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        with pytest.raises(LogError, match="Record 1 has 786433 bytes"):
            await writer.append([record("key", 1), too_large], timeout=5)
        assert (await writer.append([largest], timeout=5)).acknowledged == [True]

    assert [entry.record for entry in await all_entries(kafka_bootstrap, topic)] == [largest]


async def test_no_later_record_of_a_key_is_written_after_a_rejected_one(
    kafka_bootstrap: str,
) -> None:
    topic = f"test.{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "9000"})])
    await admin.close()
    # Together they exceed the size of a batch; the second alone compresses well.
    refused = Record(b"key", [], RANDOM.randbytes(400_000))
    acceptable = Record(b"key", [], bytes(200_000))

    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        appended = await writer.append([refused, acceptable], timeout=5)

        assert "MessageSizeTooLargeError" in str(appended.error)
        assert appended.acknowledged == [False, False]
        with pytest.raises(LogError, match=CLOSED):
            await writer.append([acceptable], timeout=5)

    assert await all_entries(kafka_bootstrap, topic) == []


async def test_a_killed_broker_loses_no_acknowledged_record(kafka: KafkaServer) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 4, 1, 1))
    acknowledged: set[bytes] = set()

    async def append_until_it_fails(writer: Any) -> Any:
        error = None
        while not error:
            first = len(acknowledged)
            records = [record(f"key {n % 10}", n) for n in range(first, first + 100)]
            error = (outcome := await writer.append(records, timeout=3)).error
            durable = compress(records, outcome.acknowledged)
            acknowledged.update(r.value for r in durable)
        return error

    writer = LogWriter(Brokers(kafka.bootstrap), "test")
    await writer.start()
    appending = asyncio.create_task(append_until_it_fails(writer))
    await eventually(lambda: len(acknowledged) > 3_000)
    os.kill(kafka.pid, signal.SIGKILL)
    async with asyncio.timeout(15):
        assert "did not acknowledge within 3 s" in str(await appending)
        await writer.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}

    await kafka.stop()
    await kafka.start()
    async with opened(LogWriter(Brokers(kafka.bootstrap), "test")) as fresh:
        assert not (await fresh.append([record("key", 10**9)], timeout=15)).error
    written = {entry.record.value for entry in await all_entries(kafka.bootstrap, "test")}
    assert acknowledged <= written
    assert record("key", 10**9).value in written


async def test_a_hanging_broker_blocks_neither_append_nor_close(kafka: KafkaServer) -> None:
    await ensure_topic(Brokers(kafka.bootstrap), TopicSpec("test", 4, 1, 1))
    writer = LogWriter(Brokers(kafka.bootstrap), "test")
    await writer.start()
    reader = LogReader(Brokers(kafka.bootstrap), "test")
    await reader.start()
    reader.seek(await reader.end_positions())
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(8):
            assert (await writer.append([record("a", 1)], timeout=1)).error
            assert await reader.read(timeout=0.1) == []
            await writer.close()
            await reader.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
    finally:
        os.kill(kafka.pid, signal.SIGCONT)


async def test_a_cancelled_append_makes_the_writer_unusable(
    kafka_bootstrap: str, topic: str
) -> None:
    async with opened(LogWriter(Brokers(kafka_bootstrap), topic)) as writer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await writer.append([record("a", 1)], timeout=5)
        with pytest.raises(LogError, match=CLOSED):
            await writer.append([record("a", 1)], timeout=5)


async def test_a_writer_without_broker_or_topic_fails_within_its_timeout(
    kafka_bootstrap: str,
) -> None:
    with pytest.raises(LogError, match="cannot be written: KafkaConnectionError"):
        await LogWriter(Brokers(f"127.0.0.1:{free_port()}"), "test").start(timeout=3)
    with pytest.raises(LogError, match="cannot be written: TimeoutError"):
        await LogWriter(Brokers(kafka_bootstrap), "test.missing").start(timeout=1)


async def test_a_cancelled_start_leaves_no_connection_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        starting = asyncio.create_task(LogWriter(Brokers(_address(silent)), "test").start())
        connection, _ = await asyncio.to_thread(silent.accept)
        starting.cancel()
        with connection, pytest.raises(asyncio.CancelledError):
            await starting
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _address(listening: socket.socket) -> str:
    return "{}:{}".format(*listening.getsockname())
