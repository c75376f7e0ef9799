"""Progress of a rebuild on stderr: a line that a terminal rewrites, one every 2 s elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LINE_INTERVAL_SECONDS = 2
_REWRITE_INTERVAL_SECONDS = 0.1
_CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress_reporter() -> Iterator["ProgressReporter"]:
    rewrites = sys.stderr.isatty()
    try:
        yield ProgressReporter(rewrites=rewrites)
    finally:
        if rewrites:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)


class ProgressReporter:
    def __init__(self, *, rewrites: bool) -> None:
        """`rewrites`: whether each line replaces the one before, as on a terminal."""
        self._phase, self._total, self._done = "", 0, 0
        self._started_at = self._printed_at = 0.0
        self._interval = _REWRITE_INTERVAL_SECONDS if rewrites else _LINE_INTERVAL_SECONDS
        self._start, self._end = (_CLEAR_LINE, "") if rewrites else ("", "\n")

    def start_phase(self, name: str, events: int | None = None) -> None:
        """Begin a phase; `events` is its number of events when known."""
        self._phase, self._total, self._done = name, events or 0, 0
        self._started_at = self._printed_at = time.monotonic()
        self._print(name if events is None else f"{name}: {events:,} events")

    def advance(self, events: int) -> None:
        self._done += events
        now = time.monotonic()
        if now - self._printed_at < self._interval:
            return
        self._printed_at = now
        rate = self._done / (now - self._started_at)
        remaining_seconds = max(0, self._total - self._done) / rate
        self._print(
            f"{self._phase}: {self._done:,} of {self._total:,} events, {rate:,.0f}/s, "
            f"{remaining_seconds:,.0f} s left"
        )

    def _print(self, line: str) -> None:
        print(f"{self._start}{line}", end=self._end, file=sys.stderr, flush=True)
