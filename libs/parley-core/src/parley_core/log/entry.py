"""A record at its place in the log."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from parley_core.cloudevents import Record


class Entry(NamedTuple):
    """A record, and where in the topic it is; `offset + 1` is the next position."""

    partition: int
    offset: int
    record: Record


def entries_of(batches: Mapping[TopicPartition, Iterable[ConsumerRecord]]) -> list[Entry]:
    """The entries of what aiokafka's `getmany` returned, in order within each partition."""
    return [
        Entry(message.partition, message.offset, _record(message))
        for messages in batches.values()
        for message in messages
    ]


def _record(message: ConsumerRecord) -> Record:
    # Kafka allows null where Parley writes bytes; a stranger's record must not break the reader.
    return Record(
        key=message.key or b"",
        headers=[(name, value or b"") for name, value in message.headers],
        value=message.value or b"",
    )
