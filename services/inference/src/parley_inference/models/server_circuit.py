"""Circuit breaker of a model server, which no single person can open for the others."""

from collections import OrderedDict

from parley_core.runtime.circuit_breaker import CircuitBreaker, State

Person = tuple[str, str]
"""Tenant and user."""

# People with failures since their last reply; the one whose failure is oldest is forgotten.
MAX_PEOPLE = 1_000


class ServerCircuit:
    """Opens for one person after `failure_threshold` failures of theirs in a row.

    It opens for everybody after as many failures in a row of at least two people, of which each
    counts for up to half. The trials of a person whose failures count no more prove nothing.
    Times are seconds of a monotonic clock, passed in by the caller.
    """

    def __init__(self, failure_threshold: int, open_seconds: float) -> None:
        self._failure_threshold, self._open_seconds = failure_threshold, open_seconds
        self._max_counted = (failure_threshold + 1) // 2
        self._everybody = self._closed()
        self._people: OrderedDict[Person, CircuitBreaker] = OrderedDict()

    @property
    def state(self) -> State:
        """The state for everybody."""
        return self._everybody.state

    def allow(self, person: Person, now: float) -> bool:
        """Return whether this person may call; the first call after the open time is the trial."""
        own = self._people.get(person)
        if own is None:
            return self._everybody.allow(now)
        if not own.allow(now):
            return False
        if self._everybody.allow(now):
            return True
        own.on_inconclusive()
        return False

    def open_seconds_left(self, person: Person, now: float) -> float:
        """The seconds until this person may call again; 0 while a trial runs."""
        own = self._people.get(person)
        own_seconds = own.open_seconds_left(now) if own else 0
        return max(own_seconds, self._everybody.open_seconds_left(now))

    def on_success(self, person: Person) -> None:
        self._people.pop(person, None)
        self._everybody.on_success()

    def on_failure(self, person: Person, now: float) -> None:
        own = self._people.pop(person, None) or self._closed()
        own.on_failure(now)
        self._people[person] = own
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)
        if own.failures <= self._max_counted:
            self._everybody.on_failure(now)
        else:
            self._everybody.on_inconclusive()

    def on_inconclusive(self, person: Person) -> None:
        """The call ended without evidence about the server; another may be the trial."""
        if own := self._people.get(person):
            own.on_inconclusive()
        self._everybody.on_inconclusive()

    def _closed(self) -> CircuitBreaker:
        return CircuitBreaker(self._failure_threshold, self._open_seconds)
