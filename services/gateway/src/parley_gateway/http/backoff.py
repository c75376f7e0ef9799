"""How long something that is away is asked for again, and how soon."""


class ReconnectBackoff:
    """Times are seconds of one clock, which the caller reads."""

    def __init__(self, *, most: float, first_pause: float, most_pause: float) -> None:
        self._most, self._first_pause, self._most_pause = most, first_pause, most_pause
        self._since: float | None = None
        self._failures = 0

    def is_over(self) -> None:
        self._since, self._failures = None, 0

    def next_pause(self, now: float, jitter: float) -> float | None:
        """Seconds before the next try, after one that failed; None when it has lasted too long.

        Doubles each time and is spread over its upper half by `jitter`, from 0 up to 1.
        """
        if self._since is None:
            self._since = now
        if now - self._since >= self._most:
            return None
        # Ten doublings are beyond any limit: without a bound the power would overflow.
        pause: float = min(self._first_pause * 2 ** min(self._failures, 10), self._most_pause)
        self._failures += 1
        return pause * (1 + jitter) / 2
