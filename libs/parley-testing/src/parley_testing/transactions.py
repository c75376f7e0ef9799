"""Writes records in a Kafka transaction, as producers other than Parley may."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from parley_core.log import Brokers, LogReader
from parley_events.cloudevents import Record
from parley_testing.eventually import eventually


async def append_in_transaction(bootstrap: str, topic: str, records: Sequence[Record]) -> None:
    """Write records of one key; Kafka appends a commit marker, which takes up one offset."""
    reader = LogReader(Brokers(bootstrap), topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    await producer.start()
    await reader.start()
    try:
        end = sum((await reader.end_positions()).values()) + len(records) + 1
        async with producer.transaction():
            for each in records:
                await producer.send(topic, each.value, each.key, headers=[*each.headers])

        async def marker_is_written() -> bool:
            return sum((await reader.end_positions()).values()) == end

        # The broker writes the marker some time after it has acknowledged the commit.
        await eventually(marker_is_written)
    finally:
        await reader.close()
        await producer.stop()
