"""aiokafka's private API, isolated here: bounded shutdown, partitions, undecodable header names.

Read against the source of aiokafka 0.14.0; a test fails when another version is installed.

- Shutdown: `AIOKafkaProducer.stop()` waits without a bound for an unreachable broker (aiokafka
  issues 1013 and 1101), and when it is cancelled its tasks keep running.
- Partitions: the public `partitions_for_topic` only reads a cache, which is empty for a topic that
  the consumer was not assigned yet (kafka-python issue 1774 is about the same method).
- Assignments: `getmany` can return records of a new assignment before the rebalance listener has
  run, and errors of the listener are swallowed. The identity of `assignment()` reveals a change.
- Header names: any client but a Java one can write a header whose name is not UTF-8. aiokafka
  raises UnicodeDecodeError at such a record and never reads past it (no upstream issue).
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

SUPPORTED_VERSION = "0.14.0"

_CLOSE_SECONDS = 2

# A batch begins with its base offset and length: https://kafka.apache.org/documentation/#recordbatch
_BATCH_HEADER = Struct(">qi")


async def fetch_partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """Return the partition numbers of a topic, after waiting until the brokers know the topic."""
    return sorted(await consumer._client._wait_on_metadata(topic))


def current_assignment(consumer: AIOKafkaConsumer) -> frozenset[TopicPartition]:
    """Return the assignment: one object until the next rebalance, a new one after it.

    To be compared by identity: a rebalance may assign the same partitions again.
    """
    assignment: frozenset[TopicPartition] = consumer.assignment()
    return assignment


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer at once; undelivered records are abandoned."""
    producer._closed = True
    await _cancel_tasks_of((producer._sender,))
    await _close_connections(producer.client)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer within seconds; a member leaves its group if the broker responds."""
    stopping = asyncio.create_task(consumer.stop())
    # `wait`, not `await`: while fetches fail, `stop()` ends by cancelling itself.
    await asyncio.wait([stopping], timeout=_CLOSE_SECONDS)
    await _cancel_tasks_of((consumer, consumer._coordinator, consumer._fetcher))
    await asyncio.gather(stopping, return_exceptions=True)
    await _close_connections(consumer._client)


async def _close_connections(client: Any) -> None:
    await asyncio.wait([asyncio.create_task(client.close())], timeout=_CLOSE_SECONDS)
    await _cancel_tasks_of((client,))


async def _cancel_tasks_of(owners: Iterable[object]) -> None:
    """Cancel every task that runs a method of one of the owners, and wait for its end."""
    tasks = [
        task
        for task in asyncio.all_tasks()
        if any(owner is not None and _self_of(task) is owner for owner in owners)
    ]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _self_of(task: asyncio.Task[Any]) -> object:
    # aiokafka keeps no list of the tasks that it starts.
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame.f_locals.get("self") if frame is not None else None


class RecordsWithAnyHeader(MemoryRecords):  # type: ignore[misc]
    """The record batches of one partition's fetch response, with undecodable names escaped."""

    def __init__(self, response: bytes) -> None:
        super().__init__(response)
        self._response = response

    def next_batch(self) -> Any:
        batch = super().next_batch()
        return None if batch is None else _Batch(batch, self._response)


class _Batch:
    """A record batch that falls back to the escaping parser at the first undecodable name."""

    def __init__(self, batch: Any, response: bytes) -> None:
        self._batch, self._response = batch, response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        yielded = 0
        try:
            for record in self._batch:
                yield record
                yielded += 1
        except UnicodeDecodeError:
            yield from islice(self._escaped(), yielded, None)

    def _escaped(self) -> Any:
        """Parse the batch again with aiokafka's slower parser in Python."""
        start, (offset, length) = 0, _BATCH_HEADER.unpack_from(self._response)
        while offset != self._batch.base_offset:
            start += _BATCH_HEADER.size + length
            offset, length = _BATCH_HEADER.unpack_from(self._response, start)
        end = start + _BATCH_HEADER.size + length
        batch: Any = _DefaultRecordBatchPy(self._response[start:end])
        batch._maybe_uncompress()
        batch._buffer = _EscapingBytes(batch._buffer)
        return batch


class _EscapingBytes(bytes):
    """Bytes that decode undecodable parts as backslash escapes."""

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return item if isinstance(item, int) else _EscapingBytes(item)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def install_header_escaping() -> None:
    """Make all consumers of this process accept any header name; aiokafka has no setting."""
    fetcher.MemoryRecords = RecordsWithAnyHeader
