"""`restore-log`: fills topics that were dropped from the event store, while chat goes on."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import asyncpg

from parley_core.log import LogError, TopicMismatch, ensure_topic
from parley_events.topics import TopicSpec
from parley_session.operations.first_appearances import FirstAppearances
from parley_session.operations.log_scan import Progress, events_in, opened_log, whole_log
from parley_session.relay.outbox import (
    Queue,
    connection_settings,
    oldest_queued,
    relays_paused,
    requeue_first,
)
from parley_session.relay.relay import Relay
from parley_session.settings import LogCommandSettings

Connection = asyncpg.Connection

_LOOK_SECONDS = 0.2

_REBUILD = (
    "If the topic was made again, run `parley rebuild history` now: positions of the old topic "
    "mean nothing in the new one."
)


async def restore_log(
    settings: LogCommandSettings, topics: Sequence[tuple[TopicSpec, Relay]]
) -> int:
    """Queue what each topic lacks before all else in its outbox, and relay it; the exit code is 0.

    An outbox then holds all that the log does not, in order, whoever is killed from there on: a
    relay of session may finish it, and so may this command, run again. What the log has without a
    gap, from a stream's first event on, is left as it is. Raises `LogError`.
    """
    connection = await asyncpg.connect(
        settings.session_database,
        timeout=settings.session_store_seconds,
        command_timeout=settings.session_command_seconds,
        server_settings=connection_settings(settings.relay_publish_seconds),
    )
    try:
        for topic, relay in topics:
            async with relays_paused(connection, relay.queue):
                queued = await _queue_missing(connection, settings, topic, relay.queue)
            print(
                f"The log of {relay.queue.of} lacks {queued:,} events that had left the outbox: "
                "they are queued again."
            )
            await relay_the_front(connection, relay, settings.session_log_stalled_seconds)
    finally:
        connection.terminate()
    print(_REBUILD)
    return 0


async def _queue_missing(
    connection: "Connection[asyncpg.Record]",
    settings: LogCommandSettings,
    topic: TopicSpec,
    queue: Queue,
) -> int:
    # Made while no relay leads, or new events would be in it before old ones. Whether one that is
    # there is as it should be, `create-topic` tells.
    with suppress(TopicMismatch):
        await ensure_topic(settings.brokers, topic)
    logged = FirstAppearances()
    async with opened_log(settings.brokers, topic.name) as reader:
        stalled = settings.session_log_stalled_seconds
        async for entries in whole_log(reader, stalled_seconds=stalled):
            for stream, sequence, _ in events_in(entries):
                logged.add(stream, sequence)
    return await requeue_first(connection, logged, queue)


async def relay_the_front(
    connection: "Connection[asyncpg.Record]", relay: Relay, stalled_seconds: float
) -> None:
    """Until the log has it all, by this relay or another one."""
    left = before = await oldest_queued(connection, relay.queue)
    progress, moved_at = Progress("Published", left), time.monotonic()
    relaying = asyncio.create_task(relay.run())
    try:
        while left:
            await asyncio.sleep(_LOOK_SECONDS)
            left = await oldest_queued(connection, relay.queue)
            if left < before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > stalled_seconds:
                raise LogError(
                    f"Nothing was published for {stalled_seconds:g} s. {left:,} events stay "
                    "queued: a relay publishes them once the log takes them again."
                )
            progress.add(before - left)
            before = left
    finally:
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
    print(f"Published {progress.done:,} events, {progress.per_second:,.0f} a second.")
