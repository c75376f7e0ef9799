"""`restore-log`: republishes events that are missing from the log, from the event store."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from parley_core.log import Brokers, LogError, TopicMismatch, ensure_topic
from parley_events.topics import TopicSpec
from parley_session.operations.first_appearances import FirstAppearances
from parley_session.operations.log_scan import (
    STALL_TIMEOUT_SECONDS,
    events_in,
    open_log,
    scan_log,
)
from parley_session.operations.progress import Progress
from parley_session.relay.outbox import (
    connection_settings,
    count_requeued,
    relays_paused,
    requeue_first,
)
from parley_session.relay.outbox_sql import OutboxTable
from parley_session.relay.relay import RELAY_LIMITS, Relay
from parley_session.settings import LogCommandSettings
from parley_session.storage.database import Connection, connect_for_maintenance

_POLL_SECONDS = 0.2

_REBUILD = (
    "If the topic was created anew, run `parley rebuild history` now: positions in the old topic "
    "are not valid in the new one."
)


async def restore_log(
    settings: LogCommandSettings, topics: Sequence[tuple[TopicSpec, Relay]]
) -> int:
    """Requeue what each topic lacks ahead of its outbox, and relay it; return the exit code, 0.

    From then on the outbox holds everything that the log lacks, in order, so it does not matter
    which process is killed: any relay, or another run of this command, continues. Streams that
    the log holds without a gap are not republished. Raises LogError.
    """
    connection = await connect_for_maintenance(
        settings.database, connection_settings(RELAY_LIMITS.publish_timeout_seconds)
    )
    try:
        for topic, relay in topics:
            async with relays_paused(connection, relay.table):
                queued = await _requeue_missing(
                    connection, settings.kafka.brokers, topic, relay.table
                )
            print(f"Requeued {queued:,} events missing from the log of {relay.table.stream}.")
            await relay_requeued(connection, relay)
    finally:
        connection.terminate()
    print(_REBUILD)
    return 0


async def _requeue_missing(
    connection: Connection,
    brokers: Brokers,
    topic: TopicSpec,
    table: OutboxTable,
) -> int:
    # Created while relays are paused: otherwise new events would precede old ones. `create-topic`
    # reports the mismatch of an existing topic.
    with suppress(TopicMismatch):
        await ensure_topic(brokers, topic)
    logged = FirstAppearances()
    async with open_log(brokers, topic.name) as reader:
        async for entries in scan_log(reader):
            for stream_id, sequence, _ in events_in(entries):
                logged.add(stream_id, sequence)
    return await requeue_first(connection, logged, table)


async def relay_requeued(connection: Connection, relay: Relay) -> None:
    """Run the relay until this or another one has published all requeued events."""
    left = before = await count_requeued(connection, relay.table)
    progress, last_progress = Progress("Published", left), time.monotonic()
    relay_task = asyncio.create_task(relay.run())
    try:
        while left:
            await asyncio.sleep(_POLL_SECONDS)
            left = await count_requeued(connection, relay.table)
            if left < before:
                last_progress = time.monotonic()
            elif time.monotonic() - last_progress > STALL_TIMEOUT_SECONDS:
                raise LogError(
                    f"Nothing was published for {STALL_TIMEOUT_SECONDS:g} s. {left:,} events stay "
                    "queued, and are published once the log accepts them."
                )
            progress.add(before - left)
            before = left
    finally:
        relay_task.cancel()
        await asyncio.gather(relay_task, return_exceptions=True)
    print(f"Published {progress.done:,} events, {progress.per_second:,.0f} per second.")
