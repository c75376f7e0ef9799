"""Somebody who writes to the log in transactions, as Parley never does."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from parley_core.log import Brokers, LogReader
from parley_events.cloudevents import Record
from parley_testing.eventually import eventually


async def append_in_transaction(bootstrap: str, topic: str, records: Sequence[Record]) -> None:
    """Write records of one key; behind them Kafka puts a mark, which has a position of its own."""
    reader = LogReader(Brokers(bootstrap), topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    await producer.start()
    await reader.start()
    try:
        marked = sum((await reader.end_positions()).values()) + len(records) + 1
        async with producer.transaction():
            for each in records:
                await producer.send(topic, each.value, each.key, headers=[*each.headers])

        async def has_its_mark() -> bool:
            return sum((await reader.end_positions()).values()) == marked

        # The broker writes it some time after it has answered.
        await eventually(has_its_mark)
    finally:
        await reader.close()
        await producer.stop()
