"""Turn admission: a turn is refused, before it is committed, if no runner has room for it.

The counts are read from the database at most every `RECOUNT_SECONDS`, so that an append costs no
query. Between two counts this process adds the turns that it admits itself; those admitted by
other replicas are missed, and wait for a slot in their runner (docs/adr/0025).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from parley_core.http.errors import TooManyRequests, Unavailable
from parley_events.values import Actor
from parley_session.storage.turn_load import OpenTurns, Person, TurnLoad

RECOUNT_SECONDS = 0.25
MAX_RETRY_AFTER_SECONDS = 30


class TurnLoadSource(Protocol):
    async def read(self, excluded: Sequence[UUID]) -> TurnLoad: ...


class TurnAdmission:
    """Admits turns up to the capacity of the live runners.

    One person may have `max_person_share` of it, a fraction, and always one turn.
    """

    def __init__(
        self,
        source: TurnLoadSource,
        *,
        max_person_share: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._max_person_share = source, max_person_share
        self._monotonic = monotonic
        self._load, self._read_at = TurnLoad(0, {}, OpenTurns()), -math.inf
        self._deciding = asyncio.Lock()
        # Admitted here and not included in `_load`; the append of a pending one is under way.
        self._admitted: dict[UUID, Person] = {}
        self._pending: set[UUID] = set()

    @asynccontextmanager
    async def admit(self, turn_id: UUID, actor: Actor) -> AsyncIterator[None]:
        """The block appends the turn; if it does not, the next count corrects the number.

        Raises Unavailable, or TooManyRequests for a person who has as many open turns as allowed.
        """
        await self._reserve(turn_id, Person(actor.tenant, actor.user))
        try:
            yield
        finally:
            self._pending.remove(turn_id)

    async def _reserve(self, turn_id: UUID, person: Person) -> None:
        asked_at = self._monotonic()
        # Nobody is admitted during a count: it might include the turn, which would count twice.
        async with self._deciding:
            if asked_at - self._read_at > RECOUNT_SECONDS:
                await self._recount()
            if self._read_at < asked_at and self._refusal(person):
                # Turns may have ended since: nobody is refused by an old count.
                await self._recount()
            if refusal := self._refusal(person):
                raise refusal
            self._admitted[turn_id] = person
            self._pending.add(turn_id)

    def _refusal(self, person: Person) -> Unavailable | TooManyRequests | None:
        capacity = self._load.capacity
        if capacity == 0:
            return Unavailable(
                "No inference process is running. Please retry.", code="inference_unavailable"
            )
        own = self._load.by_person.get(person, OpenTurns())
        if own.count + self._admitted_to(person) >= max(1, int(capacity * self._max_person_share)):
            return TooManyRequests(
                "You have as many running replies as one person may have. Retry when one has "
                "ended.",
                code="too_many_turns",
                retry_after_seconds=_seconds_until_one_ends(own),
            )
        everyone = self._load.everyone
        if everyone.count + len(self._admitted) >= capacity:
            return Unavailable(
                "As many replies are running as the service can run at once. Please retry.",
                code="inference_busy",
                retry_after_seconds=_seconds_until_one_ends(everyone),
            )
        return None

    def _admitted_to(self, person: Person) -> int:
        return sum(each == person for each in self._admitted.values())

    async def _recount(self) -> None:
        read_at = self._monotonic()
        included = self._admitted.keys() - self._pending
        self._load = await self._source.read([*self._pending])
        self._read_at = read_at
        for turn_id in included:
            del self._admitted[turn_id]


def _seconds_until_one_ends(turns: OpenTurns) -> int:
    """An estimate: a turn of unknown length lasts, on average, as long again as it has lasted."""
    expected = turns.total_age_seconds / max(1, turns.count) ** 2
    return max(1, min(math.ceil(expected), MAX_RETRY_AFTER_SECONDS))
