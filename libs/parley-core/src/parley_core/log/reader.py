"""Standalone reader of a topic from given positions: for tail, verify, restore and rebuild."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from parley_core.log.aiokafka_internals import close_consumer, fetch_partitions
from parley_core.log.brokers import Brokers
from parley_core.log.client_settings import CONSUMER_SETTINGS, REQUEST_TIMEOUT_MS
from parley_core.log.errors import (
    LogError,
    LogUnreachable,
    PositionOutOfRange,
    TopicMissing,
    reason,
)
from parley_core.log.log_entry import LogEntry, MessageBatches, entries_of


class LogReader:
    """Reads partitions of one topic; a position is the offset of the next record to read."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        self._next_positions: dict[int, int] = {}

    async def start(self, timeout: float = 10) -> None:
        """Connect; raises `LogError` without Kafka or the topic within `timeout` seconds."""
        self._consumer = AIOKafkaConsumer(
            **self._brokers.client_settings(),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **CONSUMER_SETTINGS,
        )
        try:
            async with asyncio.timeout(timeout):
                await self._consumer.start()
                # Fetched once: a client's metadata of a topic is empty while a broker restarts.
                numbers = await fetch_partitions(self._consumer, self._topic)
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise read_error(self._topic, error) from error
        self._partitions = [TopicPartition(self._topic, number) for number in numbers]

    async def beginning_positions(self) -> dict[int, int]:
        """Return the first position of every partition."""
        return await self._positions(self._require_consumer().beginning_offsets)

    async def end_positions(self) -> dict[int, int]:
        """Return the position after each partition's last record; up to 0.5 s while reading."""
        return await self._positions(self._require_consumer().end_offsets)

    async def positions_at(self, time: datetime) -> dict[int, int]:
        """Return, for every partition, the first position written at or after a time, else its end.

        Every record that Kafka accepted since that time is at that position or after it.
        """
        consumer, milliseconds = self._require_consumer(), int(time.timestamp() * 1000)
        ends = await self.end_positions()
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, milliseconds))
        except KafkaError as error:
            raise read_error(self._topic, error) from error
        # The ends were fetched first, so records written between the two requests are not skipped.
        later = {each.partition: at.offset for each, at in found.items() if at is not None}
        return ends | later

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, from these positions.

        Raises `LogError` for a partition that does not exist.
        """
        consumer = self._require_consumer()
        targets = {TopicPartition(self._topic, number): at for number, at in positions.items()}
        if unknown := targets.keys() - set(self._partitions):
            raise LogError(f"{self._topic} has no partition {min(unknown).partition}.")
        for assigned in consumer.assignment():
            # Discards an error that aiokafka stored for the partition and would raise later.
            consumer.seek(assigned, 0)
        consumer.assign(list(targets))
        for target, position in targets.items():
            consumer.seek(target, position)
        self._next_positions = dict(positions)

    async def read(self, max_records: int = 2000, timeout: float = 1) -> list[LogEntry]:
        """Return the next entries; otherwise like `read_messages`."""
        return entries_of(await self.read_messages(max_records, timeout))

    async def read_messages(self, max_records: int = 2000, timeout: float = 1) -> MessageBatches:
        """Return the next messages, or none after `timeout` seconds without any.

        For a reader to which an entry per message costs too much. Also none while Kafka is
        unreachable. Raises `PositionOutOfRange`, at each call until `seek`, and `LogError` when the
        topic was deleted or cannot be read.
        """
        consumer = self._require_consumer()
        try:
            batches: MessageBatches = await consumer.getmany(
                timeout_ms=int(timeout * 1000), max_records=max_records
            )
        except KafkaError as error:
            # aiokafka may have advanced past unreturned records of other partitions.
            self.seek(self._next_positions)
            raise read_error(self._topic, error) from error
        if not batches and consumer.partitions_for_topic(self._topic) is None:
            raise LogError(f"The topic {self._topic} no longer exists.")
        self._next_positions = await positions_of(consumer)
        return batches

    @property
    def positions(self) -> Mapping[int, int]:
        """The positions at which the next `read` continues.

        They may lie beyond the returned messages: transaction markers have offsets, but are not
        records.
        """
        return self._next_positions

    async def close(self) -> None:
        """Close; takes seconds at most, even while Kafka is unreachable."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close_consumer(consumer)

    async def _positions(self, fetch_offsets: Any) -> dict[int, int]:
        try:
            found = await fetch_offsets(self._partitions)
        except KafkaError as error:
            raise read_error(self._topic, error) from error
        return {each.partition: found[each] for each in self._partitions}

    def _require_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogError(f"The reader of {self._topic} is not started or is closed.")
        return self._consumer


async def positions_of(consumer: AIOKafkaConsumer) -> dict[int, int]:
    """Return the next offset of each assigned partition."""
    return {each.partition: await consumer.position(each) for each in consumer.assignment()}


def read_error(topic: str, error: Exception) -> LogError:
    """Convert an error of aiokafka's consumer."""
    if isinstance(error, OffsetOutOfRangeError):
        [(partition, position)] = error.args[0].items()
        return PositionOutOfRange(topic, partition.partition, position)
    kind: type[LogError] = LogError
    if isinstance(error, KafkaConnectionError):
        kind = LogUnreachable
    elif isinstance(error, UnknownTopicOrPartitionError):
        kind = TopicMissing
    return kind(f"The log {topic} cannot be read: {reason(error)}.")
