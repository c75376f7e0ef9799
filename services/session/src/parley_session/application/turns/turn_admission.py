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
from random import uniform
from typing import Protocol
from uuid import UUID

from parley_core.http.errors import TooManyRequests, Unavailable
from parley_events.values import Actor
from parley_session.storage.turn_load import OpenTurns, Person, TurnLoad

RECOUNT_SECONDS = 0.25
MAX_RETRY_AFTER_SECONDS = 30
# Refusing a turn takes a few milliseconds of every service, so one person is asked to come back at
# most 20 times a second, however many clients they have and however short their turns are.
MIN_RETRY_INTERVAL_SECONDS = 0.05


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
        # When the last of those who were refused may retry; None stands for everybody together.
        self._retry_times: dict[Person | None, float] = {}

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
            if self._read_at < asked_at and self._is_full(person):
                # Turns may have ended since: nobody is refused by an old count.
                await self._recount()
            if refusal := self._refusal(person):
                raise refusal
            self._admitted[turn_id] = person
            self._pending.add(turn_id)

    def _refusal(self, person: Person) -> Unavailable | TooManyRequests | None:
        if self._load.capacity == 0:
            return Unavailable(
                "No inference process is running. Please retry.", code="inference_unavailable"
            )
        if self._is_full_for(person):
            own = self._load.by_person.get(person, OpenTurns())
            return TooManyRequests(
                "You have as many running replies as one person may have. Retry when one has "
                "ended.",
                code="too_many_turns",
                retry_after_seconds=self._retry_after(person, own),
            )
        if self._is_full_for_all():
            return Unavailable(
                "As many replies are running as the service can run at once. Please retry.",
                code="inference_busy",
                retry_after_seconds=self._retry_after(None, self._load.everyone),
            )
        return None

    def _is_full(self, person: Person) -> bool:
        return self._is_full_for(person) or self._is_full_for_all()

    def _is_full_for(self, person: Person) -> bool:
        share = max(1, int(self._load.capacity * self._max_person_share))
        own = self._load.by_person.get(person, OpenTurns())
        return own.count + sum(each == person for each in self._admitted.values()) >= share

    def _is_full_for_all(self) -> bool:
        return self._load.everyone.count + len(self._admitted) >= self._load.capacity

    def _retry_after(self, refused: Person | None, turns: OpenTurns) -> float:
        """The seconds until a turn has ended for each of those who were refused before, too.

        The same time for all of them would bring all of them back for one place. Those who would
        wait longer than allowed are spread at random.
        """
        now = self._monotonic()
        last = max(now, self._retry_times.get(refused, now))
        retry_at = last + _seconds_until_one_ends(turns)
        latest = now + MAX_RETRY_AFTER_SECONDS
        self._retry_times[refused] = min(retry_at, latest)
        if retry_at > latest:
            retry_at = now + uniform(MAX_RETRY_AFTER_SECONDS / 2, MAX_RETRY_AFTER_SECONDS)  # noqa: S311
        return retry_at - now

    async def _recount(self) -> None:
        read_at = self._monotonic()
        included = self._admitted.keys() - self._pending
        self._load = await self._source.read([*self._pending])
        self._read_at = read_at
        self._retry_times = {who: at for who, at in self._retry_times.items() if at > read_at}
        for turn_id in included:
            del self._admitted[turn_id]


def _seconds_until_one_ends(turns: OpenTurns) -> float:
    """An estimate: a turn of unknown length lasts, on average, as long again as it has lasted."""
    expected = turns.total_age_seconds / max(1, turns.count) ** 2
    return max(expected, MIN_RETRY_INTERVAL_SECONDS)
