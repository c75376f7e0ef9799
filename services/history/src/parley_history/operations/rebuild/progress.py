"""Progress of a rebuild on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LINE_INTERVAL_SECONDS = 2


@contextmanager
def progress_reporter() -> Iterator["ProgressReporter"]:
    if not sys.stderr.isatty():
        yield LineReporter()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Events(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield BarReporter(progress)


class BarReporter:
    def __init__(self, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task("")

    def start_phase(self, name: str, events: int | None = None) -> None:
        """Begin a phase; `events` is its number of events when known."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=events)

    def advance(self, events: int) -> None:
        self._progress.advance(self._task, events)


class LineReporter:
    def __init__(self) -> None:
        self._phase, self._total, self._done = "", 0, 0
        self._started_at = self._printed_at = 0.0

    def start_phase(self, name: str, events: int | None = None) -> None:
        self._phase, self._total, self._done = name, events or 0, 0
        self._started_at = self._printed_at = time.monotonic()
        size = "" if events is None else f": {events:,} events"
        print(f"{name}{size}", file=sys.stderr, flush=True)

    def advance(self, events: int) -> None:
        self._done += events
        now = time.monotonic()
        if now - self._printed_at < _LINE_INTERVAL_SECONDS:
            return
        self._printed_at = now
        rate = self._done / (now - self._started_at)
        remaining_seconds = max(0, self._total - self._done) / rate
        print(
            f"{self._phase}: {self._done:,} of {self._total:,} events, {rate:,.0f}/s, "
            f"{remaining_seconds:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )


ProgressReporter = BarReporter | LineReporter


class _Events(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("")
        rate = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total:,.0f} events{rate}")
