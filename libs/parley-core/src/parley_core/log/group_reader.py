"""Consumer-group reader of a topic, for the projector.

The group only assigns partitions. The caller stores the positions to read from, in the same
transaction as the effect of the records; offsets committed to the group only expose the lag.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError

from parley_core.log.aiokafka_internals import close_consumer, current_assignment
from parley_core.log.brokers import Brokers
from parley_core.log.client_settings import CONSUMER_SETTINGS
from parley_core.log.errors import LogError
from parley_core.log.log_entry import LogEntry, entries_of
from parley_core.log.reader import positions_of, read_error

LoadPositions = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
"""Loads, for each of the partitions, the offset of the next record to read."""

_COMMIT_SECONDS = 2
_REBALANCE_MS = 10_000

logger = logging.getLogger(__name__)


class GroupReader:
    """A member of a consumer group of one topic, in the classic protocol.

    Two members may own a partition for a moment, so the caller must update its position with
    compare-and-set in the transaction of the effect; on a conflict, roll back and `seek`.
    """

    def __init__(
        self, brokers: Brokers, topic: str, group: str, load_positions: LoadPositions
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._group = group
        self._load_positions = load_positions
        self._login = copy(brokers.login)
        self._consumer: AIOKafkaConsumer | None = None
        # The assignment whose partitions were last sought to their positions; compared by identity.
        self._sought_assignment: frozenset[TopicPartition] | None = None
        self._next_positions: Mapping[int, int] = {}

    @property
    def is_outdated(self) -> bool:
        """Whether the password was changed since the start, so that it cannot connect again."""
        return self._login != self._brokers.login

    async def start(self, timeout: float = 30) -> None:
        """Join the group.

        Raises `LogUnreachable` when no broker responds, and `LogError` after `timeout` seconds, for
        example when the topic does not exist. May be called again.
        """
        self._login = copy(self._brokers.login)
        self._consumer = AIOKafkaConsumer(
            self._topic,
            **self._brokers.client_settings(),
            group_id=self._group,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=_REBALANCE_MS,
            # The broker responds to a join only when every member has joined.
            request_timeout_ms=_REBALANCE_MS + 5_000,
            **CONSUMER_SETTINGS,
        )
        try:
            async with asyncio.timeout(timeout):
                await self._consumer.start()
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise read_error(self._topic, error) from error

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions currently assigned to this member."""
        return frozenset(p.partition for p in self._require_consumer().assignment())

    async def read(self, max_records: int = 2000, timeout: float = 1) -> list[LogEntry]:
        """Return the next entries, or none after `timeout` seconds without any.

        Also none while the group rebalances and while Kafka is unreachable. Newly assigned
        partitions are first sought to the result of `load_positions`, whose errors propagate.
        Raises `PositionOutOfRange`, and `LogError` when the topic cannot be read; may be called
        again.
        """
        consumer = self._require_consumer()
        self._next_positions = {}
        await self._seek_new_assignment()
        try:
            async with asyncio.timeout(timeout):
                batches = await consumer.getmany(
                    timeout_ms=int(timeout * 1000), max_records=max_records
                )
        except TimeoutError:
            return []
        except NoOffsetForPartitionError:
            # Raised for an assignment that arrived meanwhile; the next call loads its positions.
            self._sought_assignment = None
            return []
        except KafkaError as error:
            # aiokafka may have advanced past unreturned records of other partitions.
            self._sought_assignment = None
            raise read_error(self._topic, error) from error
        if current_assignment(consumer) is not self._sought_assignment:
            # The records may be of a new assignment, read from the offsets committed to the group.
            return []
        self._next_positions = await positions_of(consumer)
        return entries_of(batches)

    @property
    def positions(self) -> Mapping[int, int]:
        """Positions after the last `read`, empty if it was cut short; see `LogReader.positions`."""
        return self._next_positions

    def seek(self, partition: int, position: int) -> None:
        """Continue a partition at another position; ignored if it is no longer assigned."""
        consumer = self._require_consumer()
        target = TopicPartition(self._topic, partition)
        # After a rebalance the next `read` loads the positions anyway.
        if (
            current_assignment(consumer) is self._sought_assignment
            and target in self._sought_assignment
        ):
            consumer.seek(target, position)

    async def commit_offsets(self, positions: Mapping[int, int]) -> None:
        """Commit offsets to the group, for lag monitoring only; failures are logged."""
        if not positions:
            return
        offsets = {TopicPartition(self._topic, p): position for p, position in positions.items()}
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self._require_consumer().commit(offsets)
        except (KafkaError, TimeoutError) as error:
            logger.info("offset commit of group %s failed: %r", self._group, error)

    async def close(self) -> None:
        """Leave the group; takes seconds at most, even while Kafka is unreachable."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close_consumer(consumer)

    async def _seek_new_assignment(self) -> None:
        """Seek the partitions of a new assignment to their positions, before reading from them.

        This replaces a rebalance listener, for the reasons given in `aiokafka_internals`.
        """
        consumer = self._require_consumer()
        while (
            assignment := current_assignment(consumer)
        ) and assignment is not self._sought_assignment:
            positions = await self._load_positions(sorted(p.partition for p in assignment))
            if current_assignment(consumer) is assignment:
                for each in assignment:
                    consumer.seek(each, positions[each.partition])
                self._sought_assignment = assignment

    def _require_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogError(f"The reader of {self._topic} is not started or is closed.")
        return self._consumer
