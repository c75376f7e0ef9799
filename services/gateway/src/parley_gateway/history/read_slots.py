"""Limits how many uncached pages are read for one person at a time; further reads wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from parley_core.auth.principal import Principal
from parley_core.http.errors import TooManyRequests

# A page of up to 4 MiB is in memory as a whole before its size is known. A read takes milliseconds,
# so few at a time are as fast as many.
MAX_READS_PER_PERSON = 8
# As long as a read may take. The number of waiting reads is that of the connections at most.
MAX_WAIT_SECONDS = 10.0


class ReadSlots:
    def __init__(self) -> None:
        # An entry lasts as long as a read that has a slot or waits for one.
        self._people = WeakValueDictionary[tuple[str, str], asyncio.Semaphore]()

    @asynccontextmanager
    async def slot(self, principal: Principal) -> AsyncIterator[None]:
        """Wait for a slot of the person, and hold it. Raises TooManyRequests after a long wait."""
        person = (principal.tenant, principal.user)
        slots = self._people.get(person)
        if slots is None:
            slots = self._people[person] = asyncio.Semaphore(MAX_READS_PER_PERSON)
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS if slots.locked() else None):
                await slots.acquire()
        except TimeoutError:
            raise TooManyRequests(
                "You have more concurrent reads of history than can be answered in time. Retry "
                "when some have ended.",
                code="too_many_waiting_reads",
            ) from None
        try:
            yield
        finally:
            slots.release()
