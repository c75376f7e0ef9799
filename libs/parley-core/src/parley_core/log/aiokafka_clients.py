"""How Parley uses aiokafka's clients: their settings, and an end that never hangs.

Read with the source of aiokafka 0.14 in hand: the names with an underscore are its private ones.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from parley_core.log.non_utf8_headers import read_all_records

read_all_records()

REQUEST_TIMEOUT_MS = 5_000

PRODUCER_SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,
    "compression_type": "lz4",
    # The default of 16 KiB collapses under load (aiokafka issue 528).
    "max_batch_size": 512 * 1024,
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
}

CONSUMER_SETTINGS: dict[str, Any] = {
    "enable_auto_commit": False,
    # "latest" and "earliest" would silently skip or repeat.
    "auto_offset_reset": "none",
    "max_poll_records": 2_000,
    # A topic that was made again is found within this; the default is five minutes.
    "metadata_max_age_ms": 10_000,
}

_CLOSE_SECONDS = 2


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The numbers of the topic's partitions; waits until the brokers know the topic."""
    return sorted(await consumer._client._wait_on_metadata(topic))


async def positions_in(consumer: AIOKafkaConsumer) -> dict[int, int]:
    """The offset that each partition of the assignment is read from next."""
    return {place.partition: await consumer.position(place) for place in consumer.assignment()}


async def close_producer(producer: AIOKafkaProducer) -> None:
    """End a producer at once; what it has not delivered is given up.

    Its own `stop()` waits for ever for a broker that is away (aiokafka issues 1013 and 1101), and
    when it is cancelled its tasks live on.
    """
    producer._closed = True
    await _end_tasks_of((producer._sender,))
    await _close_connections(producer.client)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """End a consumer within seconds; a member leaves its group if the broker answers."""
    stopping = asyncio.create_task(consumer.stop())
    # Waited for, not awaited: while fetches fail, `stop()` ends by cancelling itself.
    await asyncio.wait([stopping], timeout=_CLOSE_SECONDS)
    await _end_tasks_of((consumer, consumer._coordinator, consumer._fetcher))
    await asyncio.gather(stopping, return_exceptions=True)
    await _close_connections(consumer._client)


async def _close_connections(client: Any) -> None:
    await asyncio.wait([asyncio.create_task(client.close())], timeout=_CLOSE_SECONDS)
    await _end_tasks_of((client,))


async def _end_tasks_of(owners: Iterable[object]) -> None:
    """Cancel every task that runs a method of one of the owners, and wait for its end."""
    tasks = [
        task
        for task in asyncio.all_tasks()
        if any(owner is not None and _self_of(task) is owner for owner in owners)
    ]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _self_of(task: asyncio.Task[Any]) -> object:
    # aiokafka keeps no list of the tasks that it starts.
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame.f_locals.get("self") if frame is not None else None
