"""Log writer: an idempotent producer that reports which records are durable."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from parley_core.log.aiokafka_internals import close_producer
from parley_core.log.brokers import Brokers
from parley_core.log.client_settings import PRODUCER_SETTINGS
from parley_core.log.errors import LogError, reason
from parley_core.log.log_entry import partition_of
from parley_core.tracing.spans import batch_span
from parley_events.cloudevents import MAX_ENCODED_BYTES, Record


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcome of one `append`.

    `acknowledged[i]`: record i is durable on every in-sync replica. Among the records of one key,
    the acknowledged ones always come first. The others may or may not be durable, as a record in
    flight can still arrive: append them again, with the same IDs. `error` is None exactly when all
    are acknowledged.
    """

    acknowledged: Sequence[bool]
    error: LogError | None


class LogWriter:
    """An idempotent producer of one topic; close and replace it after an error."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._login = copy(brokers.login)
        self._producer: AIOKafkaProducer | None = None
        self._partitions: list[int] = []
        self._usable = False

    @property
    def is_outdated(self) -> bool:
        """Whether the password was changed since the start, so that it cannot connect again."""
        return self._login != self._brokers.login

    async def start(self, timeout: float = 10) -> None:
        """Connect; raises `LogError` without Kafka or the topic within `timeout` seconds."""
        self._login = copy(self._brokers.login)
        self._producer = AIOKafkaProducer(**self._brokers.client_settings(), **PRODUCER_SETTINGS)
        try:
            async with asyncio.timeout(timeout):
                await self._producer.start()
                # Fetched once: if the number changed, a key would move to another partition.
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

        One call at a time. Raises `LogError`, before sending anything, for a record over 768 KiB,
        and when the writer is not started, busy, failed or closed.
        """
        self._require_usable()
        _require_size(records)
        creators = (record.traceparent for record in records)
        with batch_span("send", self._topic, len(records), creators) as sending:
            result = await self._append(records, timeout)
            if result.error is not None:
                sending.fail(type(result.error).__name__)
            return result

    async def _append(self, records: Sequence[Record], timeout: float) -> AppendResult:
        acknowledged = [False] * len(records)
        error: LogError | None = None
        # Unusable until the outcome is known: a cancelled call leaves records in flight.
        self._usable = False
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as partitions:
                for partition, indexes in self._indexes_by_partition(records).items():
                    partitions.create_task(
                        self._append_to_partition(partition, indexes, records, acknowledged)
                    )
        except* TimeoutError:
            error = LogError(f"The log {self._topic} did not acknowledge within {timeout} s.")
        except* KafkaError as failures:
            error = LogError(f"The log {self._topic} failed: {reason(failures.exceptions[0])}.")
        self._usable = error is None
        return AppendResult(acknowledged, error)

    async def close(self) -> None:
        """Close; takes seconds at most. Records in flight are abandoned."""
        self._usable = False
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await close_producer(producer)

    async def _append_to_partition(
        self,
        partition: int,
        indexes: deque[int],
        records: Sequence[Record],
        acknowledged: list[bool],
    ) -> None:
        assert self._producer is not None
        while indexes:
            batch = self._producer.create_batch()
            taken = _fill(batch, indexes, records)
            # The next batch waits for this acknowledgement. Sent before it (as with `send()`), it
            # would be written even when this one is rejected, and leave a gap.
            written = await self._producer.send_batch(batch, self._topic, partition=partition)
            # Retrieved even when another partition fails first and this task is cancelled.
            written.add_done_callback(_retrieve_exception)
            await written
            for index in taken:
                acknowledged[index] = True

    def _indexes_by_partition(self, records: Sequence[Record]) -> dict[int, deque[int]]:
        indexes: defaultdict[int, deque[int]] = defaultdict(deque)
        # Hashing takes 6 µs, and all records of an import or a fork have one key.
        keys = {record.key for record in records}
        partitions = {key: partition_of(key, self._partitions) for key in keys}
        for index, record in enumerate(records):
            indexes[partitions[record.key]].append(index)
        return indexes

    def _require_usable(self) -> None:
        if not self._usable:
            raise LogError(f"The writer of {self._topic} is not started, busy, failed or closed.")


def _retrieve_exception(written: "asyncio.Future[object]") -> None:
    if not written.cancelled():
        written.exception()


def _fill(batch: BatchBuilder, indexes: deque[int], records: Sequence[Record]) -> list[int]:
    """Move records into the batch until it is full; return their indexes, at least one."""
    taken = []
    while indexes:
        record = records[indexes[0]]
        headers = list(record.headers)
        added = batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
        if added is None:
            break
        taken.append(indexes.popleft())
    return taken


def _require_size(records: Sequence[Record]) -> None:
    # Checked before sending: a rejected batch breaks the producer (aiokafka issue 1017).
    for index, record in enumerate(records):
        size = len(record.key) + len(record.value)
        size += sum(len(name) + len(value) for name, value in record.headers)
        if size > MAX_ENCODED_BYTES:
            raise LogError(f"Record {index} has {size} bytes; the maximum is {MAX_ENCODED_BYTES}.")
