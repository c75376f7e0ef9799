"""Appends records to the log so that the caller learns exactly which of them are durable."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from parley_core.log.aiokafka_clients import PRODUCER_SETTINGS, close_producer
from parley_core.log.brokers import Brokers
from parley_core.log.errors import LogError, reason
from parley_core.log.log_entry import partition_of
from parley_events.cloudevents import MAX_ENCODED_BYTES, Record


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of the records of one `append`.

    `acknowledged[i]` says that record i is durable on every in-sync replica. Among the records of
    one key the acknowledged ones always come first. Of the others none is durable for certain: a
    record that was under way may still arrive, so it must be handed over again, with the same id.
    `error` is None exactly when all are acknowledged.
    """

    acknowledged: Sequence[bool]
    error: LogError | None


class LogWriter:
    """One idempotent producer of one topic. After an error it must be closed and replaced."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._partitions: list[int] = []
        self._usable = False

    async def start(self, timeout: float = 10) -> None:
        """Connect. Raises `LogError` when Kafka or the topic is not there within the seconds."""
        self._producer = AIOKafkaProducer(**self._brokers.client_settings(), **PRODUCER_SETTINGS)
        try:
            async with asyncio.timeout(timeout):
                await self._producer.start()
                # Asked once: were the number to change, a key would change its partition.
                self._partitions = sorted(await self._producer.partitions_for(self._topic))
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise LogError(
                f"The log {self._topic} at {self._brokers.bootstrap} cannot be written: "
                f"{reason(error)}."
            ) from error
        except asyncio.CancelledError:
            await self.close()
            raise
        self._usable = True

    async def append(self, records: Sequence[Record], timeout: float) -> AppendResult:
        """Append the records, in order for each key, within `timeout` seconds.

        One call at a time. Raises `LogError`, with nothing handed over, when a record passes
        768 KiB or when the writer is not started, is busy, failed before or is closed.
        """
        self._require_usable()
        _require_size(records)
        acknowledged = [False] * len(records)
        error: LogError | None = None
        # Until the end is known: a call that is cancelled leaves records under way.
        self._usable = False
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as partitions:
                for partition, places in self._places_by_partition(records).items():
                    partitions.create_task(
                        self._append_in_turn(partition, places, records, acknowledged)
                    )
        except* TimeoutError:
            error = LogError(f"The log {self._topic} did not acknowledge within {timeout} s.")
        except* KafkaError as failures:
            error = LogError(f"The log {self._topic} failed: {reason(failures.exceptions[0])}.")
        self._usable = error is None
        return AppendResult(acknowledged, error)

    async def close(self) -> None:
        """End within seconds, also while Kafka is away. What is under way is given up."""
        self._usable = False
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await close_producer(producer)

    async def _append_in_turn(
        self,
        partition: int,
        places: deque[int],
        records: Sequence[Record],
        acknowledged: list[bool],
    ) -> None:
        assert self._producer is not None
        while places:
            batch = self._producer.create_batch()
            taken = _fill(batch, places, records)
            # The next batch waits for this one's acknowledgement. Handed over before it (as with
            # `send()`) it would be written even when this one is refused, and leave a hole.
            written = await self._producer.send_batch(batch, self._topic, partition=partition)
            # Looked at also when another partition fails first and this task is cancelled.
            written.add_done_callback(_look_at)
            await written
            for place in taken:
                acknowledged[place] = True

    def _places_by_partition(self, records: Sequence[Record]) -> dict[int, deque[int]]:
        places: defaultdict[int, deque[int]] = defaultdict(deque)
        for place, record in enumerate(records):
            places[partition_of(record.key, self._partitions)].append(place)
        return places

    def _require_usable(self) -> None:
        if not self._usable:
            raise LogError(
                f"This writer of {self._topic} is not started, is busy, failed or is closed."
            )


def _look_at(written: "asyncio.Future[object]") -> None:
    if not written.cancelled():
        written.exception()


def _fill(batch: BatchBuilder, places: deque[int], records: Sequence[Record]) -> list[int]:
    """Move places into the batch until it is full; return those moved, at least one."""
    taken = []
    while places:
        record = records[places[0]]
        headers = list(record.headers)
        added = batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
        if added is None:
            break
        taken.append(places.popleft())
    return taken


def _require_size(records: Sequence[Record]) -> None:
    # Checked before anything is sent: a refused batch spoils the producer (aiokafka issue 1017).
    for place, record in enumerate(records):
        size = len(record.key) + len(record.value)
        size += sum(len(name) + len(value) for name, value in record.headers)
        if size > MAX_ENCODED_BYTES:
            raise LogError(
                f"Record {place} has {size} bytes; the log takes {MAX_ENCODED_BYTES} at most."
            )
