"""Usage reporter: reports the usage of completions to session, from a background queue."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from parley_core.http.errors import ParleyError
from parley_core.runtime.background_tasks import background_loops
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_core.tracing.spans import continued_trace
from parley_core.tracing.trace_context import parse_trace_context
from parley_inference.session.client import SessionClient
from parley_inference.session.retry_until_accepted import retry_until_accepted
from parley_inference.session.usage_record import CompletionReport, UnusedReservation

log = logging.getLogger(__name__)

# A record is small: this many outlast an outage of session as long as the deadline.
QUEUE_SIZE = 10_000
# Low, so that the backlog after an outage leaves session room for turns.
MAX_CONCURRENCY = 4
DEADLINE_SECONDS = 300

_SHUTDOWN = "process shutdown"


class UsageReporter:
    """Drops, and logs, records beyond the queue and those that session does not accept in time."""

    def __init__(self, session: SessionClient) -> None:
        self.dropped = 0
        self._session = session
        self._queue: asyncio.Queue[CompletionReport] = asyncio.Queue(QUEUE_SIZE)

    def report(self, record: CompletionReport) -> None:
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            self._drop(record, "queue full")

    @asynccontextmanager
    async def run(self, flush_seconds: float) -> AsyncIterator[None]:
        """Report during the block; queued records have `flush_seconds` more at its end."""
        async with background_loops(*[self._report_queued] * MAX_CONCURRENCY):
            try:
                yield
            finally:
                try:
                    async with asyncio.timeout(flush_seconds):
                        await self._queue.join()
                except TimeoutError:
                    while not self._queue.empty():
                        self._drop(self._queue.get_nowait(), _SHUTDOWN)

    async def _report_queued(self) -> None:
        while True:
            record = await self._queue.get()
            try:
                await self._send(record)
            except asyncio.CancelledError:
                self._drop(record, _SHUTDOWN)
                raise
            except ParleyError as error:
                self._drop(record, error.code)
            except TimeoutError:
                self._drop(record, "deadline exceeded")
            except Exception as error:
                log_unexpected_error(log, f"completion {record.id}", error)
                self._drop(record, "unexpected error")
            finally:
                self._queue.task_done()

    async def _send(self, record: CompletionReport) -> None:
        if isinstance(record, UnusedReservation):
            send = partial(self._session.release_completion, record)
        else:
            send = partial(self._session.record_completion, record)
        trace = parse_trace_context(record.traceparent or "")
        with continued_trace("report usage", "internal", trace):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await retry_until_accepted(send, f"completion {record.id}")

    def _drop(self, record: CompletionReport, reason: str) -> None:
        self.dropped += 1
        log.error("usage of completion %s dropped: %s", record.id, reason)
