"""The log as a stranger reads it: plain aiokafka, which knows nothing of Parley."""

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

TOPIC = "parley.sessions.v1"


async def records_in_topic(bootstrap: str) -> list[Any]:
    """All records, in order within each partition."""
    records: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as log:
        places = [TopicPartition(TOPIC, number) for number in range(12)]
        log.assign(places)
        ends = await log.end_offsets(places)
        while any([await log.position(place) < ends[place] for place in places]):
            batches = await log.getmany(timeout_ms=500)
            records += [record for batch in batches.values() for record in batch]
    return records


def headers_of(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def distinct_ids(records: Iterable[Any]) -> int:
    """How many events there are, however often each of them is there."""
    return len({headers_of(record)["ce_id"] for record in records})


def last_sequences(records: Iterable[Any]) -> dict[str, int]:
    """How far the log is with each session; fails where it is out of order.

    The first appearances of a session's events are its sequence from 1 without a gap; an event may
    come again later, as the same event.
    """
    ids: dict[str, list[str]] = {}
    for record in records:
        headers = headers_of(record)
        known = ids.setdefault(record.key.decode(), [])
        sequence = int(headers["ce_sequence"])
        if sequence <= len(known):
            assert known[sequence - 1] == headers["ce_id"], f"{record.key} has two {sequence}"
            continue
        assert sequence == len(known) + 1, f"{record.key} goes from {len(known)} to {sequence}"
        assert not known or known[-1] < headers["ce_id"], f"{record.key} goes back in time"
        known.append(headers["ce_id"])
    return {session_id: len(known) for session_id, known in ids.items()}
