"""In which partition the records of a session are."""

from collections.abc import Sequence

from aiokafka.partitioner import DefaultPartitioner

_partition_of = DefaultPartitioner()


def partition_of(key: bytes, partitions: Sequence[int]) -> int:
    """The one of all the topic's partitions, in order, that Kafka's own hash gives the key."""
    return int(_partition_of(key, partitions, partitions))
