"""Exponential backoff with jitter: the one way in which Parley waits before it tries again."""

import random
import time
from collections.abc import Callable

# Doubling stops here: the delay has long reached any maximum, and the power must not overflow.
_MAX_DOUBLINGS = 30


def backoff_delay(
    attempt: int,
    initial_seconds: float,
    max_seconds: float,
    *,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Return the seconds to wait after failed attempt number `attempt`, counted from 1.

    The delay doubles with each attempt up to `max_seconds`; jitter (0 to 1) spreads it over its
    upper half, so that clients that failed together do not return together.
    """
    doublings = min(attempt - 1, _MAX_DOUBLINGS)
    delay: float = min(initial_seconds * 2**doublings, max_seconds)
    return delay * (1 + jitter()) / 2


class Backoff:
    """Counts the failures of one operation and says how long to wait before the next attempt.

    With `deadline_seconds`, retries end that long after the first failure since the last `reset`.
    """

    def __init__(
        self,
        initial_seconds: float,
        max_seconds: float,
        *,
        deadline_seconds: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._initial_seconds, self._max_seconds = initial_seconds, max_seconds
        self._deadline_seconds, self._clock, self._jitter = deadline_seconds, clock, jitter
        self._failing_since: float | None = None
        self.failures = 0

    def reset(self) -> None:
        """The operation succeeded: start again from the initial delay."""
        self._failing_since, self.failures = None, 0

    def next_delay(self) -> float | None:
        """Record a failure; return the seconds to wait, or None once the deadline has passed."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self._deadline_seconds:
            return None
        self.failures += 1
        return backoff_delay(
            self.failures, self._initial_seconds, self._max_seconds, jitter=self._jitter
        )
