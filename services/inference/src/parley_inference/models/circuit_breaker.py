"""A circuit breaker: it keeps requests from a model server that has failed again and again."""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class CircuitBreaker:
    """Opens after `most_failures` in a row; after `open_seconds` one request tries the server.

    Times are seconds of any clock that only goes forward.
    """

    most_failures: int
    open_seconds: float
    state: State = field(default="closed", init=False)
    _failures: int = field(default=0, init=False)
    _opened_at: float = field(default=0, init=False)

    def admits(self, now: float) -> bool:
        """Whether a request may be made; the first one after the open time is the trial."""
        if self.state == "open" and now - self._opened_at >= self.open_seconds:
            self.state = "half_open"
            return True
        return self.state == "closed"

    def begun(self) -> None:
        """A request begins to be answered: that is enough for the trial."""
        if self.state == "half_open":
            self.succeeded()

    def succeeded(self) -> None:
        # Of a request that was made before it opened, when it is open: that proves nothing new.
        if self.state != "open":
            self.state, self._failures = "closed", 0

    def failed(self, now: float) -> None:
        if self.state == "open":
            return
        self._failures += 1
        if self.state == "half_open" or self._failures >= self.most_failures:
            self.state, self._opened_at = "open", now

    def undecided(self) -> None:
        """A request ended without a word about the server; another one may be the trial."""
        if self.state == "half_open":
            self.state = "open"
