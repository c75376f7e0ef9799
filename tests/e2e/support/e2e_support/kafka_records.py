"""Reads a topic with plain aiokafka, as a consumer outside Parley does."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

TOPIC = "parley.sessions.v1"
PARTITIONS = 12


async def read_records(
    kafka: Mapping[str, Any], topic: str = TOPIC, partition_count: int = PARTITIONS
) -> list[Any]:
    """All records, in order within each partition; `kafka` are the arguments of a client."""
    records: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(**kafka, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topic, number) for number in range(partition_count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            batches = await consumer.getmany(timeout_ms=500)
            records += [record for batch in batches.values() for record in batch]
    return records


def headers_of(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def count_distinct_events(records: Iterable[Any]) -> int:
    """The number of events, each counted once however often it was published."""
    return len({headers_of(record)["ce_id"] for record in records})


def last_sequences(records: Iterable[Any]) -> dict[str, int]:
    """The last sequence number of each session; fails if its events are out of order.

    The first appearances of a session's events have the sequence numbers from 1 without a gap;
    a repeat may follow later, with the same event id.
    """
    ids: dict[str, list[str]] = {}
    for record in records:
        headers = headers_of(record)
        known = ids.setdefault(record.key.decode(), [])
        sequence = int(headers["ce_sequence"])
        if sequence <= len(known):
            assert known[sequence - 1] == headers["ce_id"], f"{record.key}: {sequence} is forked"
            continue
        assert sequence == len(known) + 1, f"{record.key}: {sequence} follows {len(known)}"
        assert not known or known[-1] < headers["ce_id"], f"{record.key}: event ids decrease"
        known.append(headers["ce_id"])
    return {session_id: len(known) for session_id, known in ids.items()}
