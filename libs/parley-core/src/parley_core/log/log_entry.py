"""A record at its place in the log."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from parley_events.cloudevents import Record

_VALUE = itemgetter(1)


class LogEntry(NamedTuple):
    """A record, and where in the topic it is; `offset + 1` is the next position."""

    partition: int
    offset: int
    record: Record


def entries_of(batches: Mapping[TopicPartition, Iterable[ConsumerRecord]]) -> list[LogEntry]:
    """The entries of what aiokafka's `getmany` returned, in order within each partition."""
    return [
        LogEntry(message.partition, message.offset, _record(message))
        for messages in batches.values()
        for message in messages
    ]


def _record(message: ConsumerRecord) -> Record:
    # Kafka allows null where Parley writes bytes; a stranger's record must not break the reader.
    # A list, as whoever encodes a record has it: records are compared.
    headers = list(message.headers)
    if not all(map(_VALUE, headers)):
        headers = [(name, value or b"") for name, value in headers]
    return Record(key=message.key or b"", headers=headers, value=message.value or b"")


_partition_of = DefaultPartitioner()


def partition_of(key: bytes, partitions: Sequence[int]) -> int:
    """The one of all the topic's partitions, in order, that Kafka's own hash gives the key."""
    return int(_partition_of(key, partitions, partitions))
