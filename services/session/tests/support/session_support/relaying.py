"""Relays in the process of the test, with short intervals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from parley_core.log import Brokers, LogWriter
from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.postgres_pool import Pool
from parley_session.relay.relay import Relay, RelayLimits
from parley_testing.eventually import eventually
from session_support.log_reading import outbox_is_empty


@asynccontextmanager
async def relaying(
    database: str, writer: Callable[[], LogWriter], number: int = 1, **limits: Any
) -> AsyncIterator[list[Relay]]:
    relays = [
        Relay(DatabaseUrls(url=database), writer, quick_limits(**limits)) for _ in range(number)
    ]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield relays
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def quick_limits(**limits: Any) -> RelayLimits:
    given = {"poll_interval_seconds": 0.02, "linger_seconds": 0.001}
    retry = {"retry_initial_seconds": 0.02, "retry_max_seconds": 0.02}
    return RelayLimits(**given | retry | limits)


async def relay_all(database: str, pool: Pool, bootstrap: str, topic: str) -> None:
    """Relays until the outbox is empty."""
    async with relaying(database, lambda: LogWriter(Brokers(bootstrap), topic)):
        await eventually(lambda: outbox_is_empty(pool))
