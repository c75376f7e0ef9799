"""Publishes records to the log as the relay does."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from parley_core.log import Brokers, LogWriter
from parley_events.cloudevents import Record


class Relay:
    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    async def publish(self, records: Sequence[Record]) -> None:
        appended = await self._writer.append(records, timeout=15)
        assert appended.error is None, appended.error


@asynccontextmanager
async def relay_to(bootstrap_servers: str, topic: str) -> AsyncIterator[Relay]:
    writer = LogWriter(Brokers(bootstrap_servers), topic)
    await writer.start()
    try:
        yield Relay(writer)
    finally:
        await writer.close()
