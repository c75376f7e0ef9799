"""Reads a topic as one member of a group that shares its partitions: for the projector.

The group only divides the partitions. Where to read from is the caller's knowledge, kept in the
same transaction as the effect of the records; what is committed to the group is a hint of the lag.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError

from parley_core.log.aiokafka_clients import CONSUMER_SETTINGS, close_consumer, positions_in
from parley_core.log.brokers import Brokers
from parley_core.log.errors import LogError
from parley_core.log.log_entry import LogEntry, entries_of
from parley_core.log.reader import read_error

LoadPositions = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
"""Answers, for each of the partitions, the offset of the next record to read."""

_HINT_SECONDS = 2
_REBALANCE_MS = 10_000

logger = logging.getLogger(__name__)


class GroupReader:
    """A member of a consumer group of one topic, in the classic protocol.

    Two members may hold a partition for a moment, so a caller must guard its position: move it in
    the transaction of the effect, from the expected value only, else roll back and `seek`.
    """

    def __init__(
        self, brokers: Brokers, topic: str, group: str, load_positions: LoadPositions
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._group = group
        self._load_positions = load_positions
        self._consumer: AIOKafkaConsumer | None = None
        # The very object that aiokafka gave for the assignment that was positioned last.
        self._positioned: frozenset[TopicPartition] | None = None
        self._next: Mapping[int, int] = {}

    async def start(self, timeout: float = 30) -> None:
        """Join the group.

        Raises `LogUnreachable` when no broker answers, and `LogError` when it takes longer than
        `timeout` seconds, as for a topic that is not there. It may be called again.
        """
        self._consumer = AIOKafkaConsumer(
            self._topic,
            **self._brokers.client_settings(),
            group_id=self._group,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=_REBALANCE_MS,
            # The broker holds back the answer to a join until every member has joined.
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
        """The partitions that this member holds now."""
        return frozenset(p.partition for p in self._running().assignment())

    async def read(self, max_records: int = 2000, timeout: float = 1) -> list[LogEntry]:
        """Return the next entries; none when none came within `timeout` seconds.

        That is also so while the group rebalances and while Kafka is away. For partitions that are
        new to this member, `load_positions` is asked first, and its errors come out here. Raises
        `PositionOutOfRange`, and `LogError` when the topic cannot be read; it may be called again.
        """
        consumer = self._running()
        self._next = {}
        await self._take_positions()
        try:
            async with asyncio.timeout(timeout):
                batches = await consumer.getmany(
                    timeout_ms=int(timeout * 1000), max_records=max_records
                )
        except TimeoutError:
            return []
        except NoOffsetForPartitionError:
            # From an assignment that came meanwhile; the next call asks for its positions.
            self._positioned = None
            return []
        except KafkaError as error:
            # aiokafka may have moved on past records of other partitions: nothing was returned.
            self._positioned = None
            raise read_error(self._topic, error) from error
        if consumer.assignment() is not self._positioned:
            # They may be from a new assignment, read from wherever the group's hint points to.
            return []
        self._next = await positions_in(consumer)
        return entries_of(batches)

    @property
    def positions(self) -> Mapping[int, int]:
        """Where the last `read` left off, further than what it returned where marks follow.

        Empty when it may have read nothing; see `LogReader.positions`.
        """
        return self._next

    def seek(self, partition: int, position: int) -> None:
        """Read a partition from another position on; nothing if it is no longer this member's."""
        consumer = self._running()
        place = TopicPartition(self._topic, partition)
        # Otherwise the next `read` asks for its position anyway.
        if consumer.assignment() is self._positioned and place in self._positioned:
            consumer.seek(place, position)

    async def commit_offsets(self, positions: Mapping[int, int]) -> None:
        """Tell the group how far this member is, for those who watch the lag; it may fail."""
        if not positions:
            return
        offsets = {TopicPartition(self._topic, p): position for p, position in positions.items()}
        try:
            async with asyncio.timeout(_HINT_SECONDS):
                await self._running().commit(offsets)
        except (KafkaError, TimeoutError) as error:
            logger.info("The lag of group %s was not noted: %r", self._group, error)

    async def close(self) -> None:
        """Leave the group, within seconds also while Kafka is away."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await close_consumer(consumer)

    async def _take_positions(self) -> None:
        """Seek every partition of an assignment that is new, before anything is read from it.

        aiokafka can hand out records of a new assignment before its listener has run, and swallows
        the listener's errors. So there is none: each assignment is another object, compared here
        by identity, since a member that gets the same partitions again needs positions again.
        """
        consumer = self._running()
        while (assignment := consumer.assignment()) and assignment is not self._positioned:
            positions = await self._load_positions(sorted(p.partition for p in assignment))
            if consumer.assignment() is assignment:
                for place in assignment:
                    consumer.seek(place, positions[place.partition])
                self._positioned = assignment

    def _running(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogError(f"This reader of {self._topic} is not started or is closed.")
        return self._consumer
