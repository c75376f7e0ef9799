"""Limits concurrent work in total and per person, so that one person cannot occupy all of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from parley_core.auth.principal import Principal
from parley_core.http.errors import TooManyRequests, Unavailable

PersonShare = Annotated[float, Field(gt=0, le=1)]


class PersonLimit:
    """At most `max_total` at once, of which one person, (tenant, user), has `max_person_share`.

    Everybody may have one. `things` names the work in the plural, for the messages. Nothing waits:
    a refused request holds no resources.
    """

    def __init__(
        self,
        max_total: int,
        max_person_share: float,
        *,
        things: str,
        person_code: str,
        busy_code: str,
    ) -> None:
        self._max_total, self._things = max_total, things
        self._person_code, self._busy_code = person_code, busy_code
        self._max_per_person = max(1, int(max_total * max_person_share))
        self._total, self._running = 0, Counter[tuple[str, str]]()

    @contextmanager
    def slot(self, principal: Principal) -> Iterator[None]:
        """Hold one. Raises Unavailable, or TooManyRequests for a person with their full share."""
        person = (principal.tenant, principal.user)
        if self._total >= self._max_total:
            raise Unavailable(
                f"Too many concurrent {self._things}. Please retry.", code=self._busy_code
            )
        if self._running.get(person, 0) >= self._max_per_person:
            raise TooManyRequests(
                f"You have as many concurrent {self._things} as one person may have. Retry when "
                "one has ended.",
                code=self._person_code,
            )
        self._total += 1
        self._running[person] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._running[person] -= 1
            if not self._running[person]:
                del self._running[person]
