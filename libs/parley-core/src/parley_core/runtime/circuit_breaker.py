"""A circuit breaker: stops calls to a dependency that has failed several times in a row."""

from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class CircuitBreaker:
    """Opens after `failure_threshold` failures in a row; after `open_seconds` one trial is allowed.

    `failures` is the number of failures since the last success. Times are seconds of a monotonic
    clock, passed in by the caller.
    """

    failure_threshold: int
    open_seconds: float
    state: State = field(default="closed", init=False)
    failures: int = field(default=0, init=False)
    _opened_at: float = field(default=0, init=False)

    def is_open(self, now: float) -> bool:
        """Return whether the open time has not passed yet; unlike `allow`, this starts no trial."""
        return self.open_seconds_left(now) > 0

    def open_seconds_left(self, now: float) -> float:
        """The seconds until the trial, 0 if it is not open."""
        return max(0, self._opened_at + self.open_seconds - now) if self.state == "open" else 0

    def allow(self, now: float) -> bool:
        """Return whether a call may be made; the first one after the open time is the trial."""
        if self.state == "open" and not self.is_open(now):
            self.state = "half_open"
            return True
        return self.state == "closed"

    def on_success(self) -> None:
        # While open, this is an old call's success and proves nothing about the present.
        if self.state != "open":
            self.state, self.failures = "closed", 0

    def on_failure(self, now: float) -> None:
        if self.state == "open":
            return
        self.failures += 1
        if self.state == "half_open" or self.failures >= self.failure_threshold:
            self.state, self._opened_at = "open", now

    def on_inconclusive(self) -> None:
        """The call ended without evidence about the dependency; another may be the trial."""
        if self.state == "half_open":
            self.state = "open"
