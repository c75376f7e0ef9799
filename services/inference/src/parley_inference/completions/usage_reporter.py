"""Telling session what completions used: in the background, until it has answered."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from parley_core.http.errors import ParleyError
from parley_core.runtime.background_tasks import background_tasks
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_inference.session.client import SessionClient
from parley_inference.session.retry_until_accepted import retry_until_accepted
from parley_inference.session.usage_record import UsageRecord

log = logging.getLogger(__name__)

_PROCESS_ENDS = "this process ends"


@dataclass(frozen=True, slots=True)
class UsageReporterSettings:
    """How many wait, how many are told at once, and seconds; see the settings of the same names."""

    waiting: int
    at_once: int
    tries_seconds: float
    longest_pause: float


class UsageReporter:
    """Loses what session does not take within its time, or what exceeds the queue; says so."""

    def __init__(self, session: SessionClient, limits: UsageReporterSettings) -> None:
        self.lost = 0
        self._session, self._limits = session, limits
        self._waiting: asyncio.Queue[UsageRecord] = asyncio.Queue(limits.waiting)

    def add(self, served: UsageRecord) -> None:
        try:
            self._waiting.put_nowait(served)
        except asyncio.QueueFull:
            self._lose(served, "the queue is full")

    @asynccontextmanager
    async def run(self, last_seconds: float) -> AsyncIterator[None]:
        """Tells while the block runs; what waits at its end has `last_seconds` more."""
        async with background_tasks(*(self._tell() for _ in range(self._limits.at_once))):
            try:
                yield
            finally:
                try:
                    async with asyncio.timeout(last_seconds):
                        await self._waiting.join()
                except TimeoutError:
                    while not self._waiting.empty():
                        self._lose(self._waiting.get_nowait(), _PROCESS_ENDS)

    async def _tell(self) -> None:
        while True:
            served = await self._waiting.get()
            try:
                await self._until_taken(served)
            except asyncio.CancelledError:
                self._lose(served, _PROCESS_ENDS)
                raise
            except ParleyError as error:
                self._lose(served, error.code)
            except TimeoutError:
                self._lose(served, "not in time")
            except Exception as error:
                log_unexpected_error(log, f"completion {served.id}", error)
            finally:
                self._waiting.task_done()

    async def _until_taken(self, served: UsageRecord) -> None:
        tell = partial(self._session.completion_served, served)
        async with asyncio.timeout(self._limits.tries_seconds):
            await retry_until_accepted(
                tell, f"completion {served.id}", longest_pause=self._limits.longest_pause
            )

    def _lose(self, served: UsageRecord, why: str) -> None:
        self.lost += 1
        log.error("completion %s is not recorded: %s", served.id, why)
