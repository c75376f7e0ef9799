"""Progress of a long command, reported on standard error."""

import sys
import time

_INTERVAL_SECONDS = 2


class Progress:
    """Prints a line every two seconds, such as `Read 1,000 of 5,000, 500/s`."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self.done = label, total, 0
        self._started = self._printed = time.monotonic()

    @property
    def per_second(self) -> float:
        return self.done / max(time.monotonic() - self._started, 1e-9)

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self._printed >= _INTERVAL_SECONDS:
            self._printed = time.monotonic()
            print(
                f"{self._label} {self.done:,} of {self._total:,}, {self.per_second:,.0f}/s",
                file=sys.stderr,
            )
