"""Cancel notices: runners wait here to learn at once of turns that were cancelled."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from parley_core.runtime.backoff import backoff_delay
from parley_session.storage.append.append_statement import CANCEL_CHANNEL
from parley_session.storage.database import DatabaseSettings, listen
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE
from parley_session.storage.turn_store import TurnStore

log = logging.getLogger(__name__)

# Shorter than the time that requests have to finish after SIGTERM.
WAIT_SECONDS = 2
# One per inference process; further ones are answered without waiting.
MAX_WAITING = 1_000
_RECONNECT_SECONDS = 0.5


class CancelNotices:
    """Wakes the waiting runner in whichever process it waits; heartbeats do not depend on it."""

    def __init__(self, database: DatabaseSettings, turns: TurnStore) -> None:
        self._database, self._turns = database, turns
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Listens to the database until cancelled, reconnecting after each loss."""
        while True:
            try:
                await listen(self._database, CANCEL_CHANNEL, self._wake)
            except DATABASE_UNAVAILABLE as error:
                log.warning("cancel notices are interrupted: %s", type(error).__name__)
            await asyncio.sleep(backoff_delay(1, _RECONNECT_SECONDS, _RECONNECT_SECONDS))

    async def cancelled_turns(self, runner: UUID) -> Sequence[UUID]:
        """The runner's open turns that were cancelled; waits for one up to `WAIT_SECONDS`."""
        with self._watched(str(runner)) as changed:
            found = await self._turns.cancelled(runner)
            if found or len(self._waiting) > MAX_WAITING:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await changed.wait()
            return await self._turns.cancelled(runner) if changed.is_set() else []

    @contextmanager
    def _watched(self, runner: str) -> Iterator[asyncio.Event]:
        """From before the first read, so that no cancel falls between the two."""
        changed = asyncio.Event()
        self._waiting[runner].add(changed)
        try:
            yield changed
        finally:
            self._waiting[runner].discard(changed)
            if not self._waiting[runner]:
                del self._waiting[runner]

    def _wake(self, runner: str) -> None:
        for changed in self._waiting.get(runner, ()):
            changed.set()
