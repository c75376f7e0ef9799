"""Reads a topic from given positions, as one reader on its own: tail, export, verify, rebuild."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, OffsetOutOfRangeError

from parley_core.log.aiokafka_clients import (
    CONSUMER_SETTINGS,
    REQUEST_TIMEOUT_MS,
    close_consumer,
    partitions_of,
    positions_in,
)
from parley_core.log.brokers import Brokers
from parley_core.log.errors import LogError, LogUnreachable, PositionOutOfRange, reason
from parley_core.log.log_entry import LogEntry, entries_of


class LogReader:
    """Reads partitions of one topic. A position is the offset of the next record to read."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []
        self._next: dict[int, int] = {}

    async def start(self, timeout: float = 10) -> None:
        """Connect. Raises `LogError` when Kafka or the topic is not there within the seconds."""
        self._consumer = AIOKafkaConsumer(
            **self._brokers.client_settings(),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **CONSUMER_SETTINGS,
        )
        try:
            async with asyncio.timeout(timeout):
                await self._consumer.start()
                # Asked once: what a client knows of a topic is empty while a broker restarts.
                numbers = await partitions_of(self._consumer, self._topic)
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise read_error(self._topic, error) from error
        self._partitions = [TopicPartition(self._topic, number) for number in numbers]

    async def beginning_positions(self) -> dict[int, int]:
        """The first position of every partition."""
        return await self._positions(self._running().beginning_offsets)

    async def end_positions(self) -> dict[int, int]:
        """The position after the last record of every partition. Up to 0.5 s while reading."""
        return await self._positions(self._running().end_offsets)

    async def positions_at(self, time: datetime) -> dict[int, int]:
        """For every partition the first position that was written at that time or later.

        Every record that Kafka took in from then on stands there or after it; its end if none.
        """
        consumer, milliseconds = self._running(), int(time.timestamp() * 1000)
        ends = await self.end_positions()
        try:
            found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, milliseconds))
        except KafkaError as error:
            raise read_error(self._topic, error) from error
        # The ends were asked first: what comes between the two questions is not passed over.
        later = {place.partition: at.offset for place, at in found.items() if at is not None}
        return ends | later

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read the partitions named here, and no others, from these positions on.

        Raises `LogError` for a partition that the topic does not have.
        """
        consumer = self._running()
        places = {TopicPartition(self._topic, number): at for number, at in positions.items()}
        if unknown := places.keys() - set(self._partitions):
            raise LogError(f"{self._topic} has no partition {min(unknown).partition}.")
        for place in consumer.assignment():
            # Drops an error that aiokafka has kept for it and would raise after all.
            consumer.seek(place, 0)
        consumer.assign(list(places))
        for place, position in places.items():
            consumer.seek(place, position)
        self._next = dict(positions)

    async def read(self, max_records: int = 2000, timeout: float = 1) -> list[LogEntry]:
        """Return the next entries; none when none came within `timeout` seconds.

        That is also so while Kafka is away. Raises `PositionOutOfRange`, again at each call until
        `seek`, and `LogError` when the topic is gone or cannot be read.
        """
        consumer = self._running()
        try:
            batches = await consumer.getmany(
                timeout_ms=int(timeout * 1000), max_records=max_records
            )
        except KafkaError as error:
            # aiokafka may have moved on past records of other partitions: nothing was returned.
            self.seek(self._next)
            raise read_error(self._topic, error) from error
        if not batches and consumer.partitions_for_topic(self._topic) is None:
            raise LogError(f"The topic {self._topic} is not there any more.")
        self._next = await positions_in(consumer)
        return entries_of(batches)

    @property
    def positions(self) -> Mapping[int, int]:
        """Where the next `read` goes on, for every partition that is read.

        That may be further than what it returned: the marks that Kafka keeps of somebody's
        transactions have positions, and are no records.
        """
        return self._next

    async def follow(self) -> AsyncIterator[list[LogEntry]]:
        """Yield batches of entries as they come, without end. Raises as `read` does."""
        while True:
            if entries := await self.read():
                yield entries

    async def close(self) -> None:
        """End within seconds, also while Kafka is away."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close_consumer(consumer)

    async def _positions(self, ask: Any) -> dict[int, int]:
        try:
            found = await ask(self._partitions)
        except KafkaError as error:
            raise read_error(self._topic, error) from error
        return {place.partition: found[place] for place in self._partitions}

    def _running(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogError(f"This reader of {self._topic} is not started or is closed.")
        return self._consumer


def read_error(topic: str, error: Exception) -> LogError:
    """The error for a caller that could not read."""
    if isinstance(error, OffsetOutOfRangeError):
        [(partition, position)] = error.args[0].items()
        return PositionOutOfRange(topic, partition.partition, position)
    kind = LogUnreachable if isinstance(error, KafkaConnectionError) else LogError
    return kind(f"The log {topic} cannot be read: {reason(error)}.")
