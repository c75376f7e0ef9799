"""How far a rebuild is, on stderr: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LINE_SECONDS = 2


class Tracker(Protocol):
    def phase(self, name: str, events: int | None = None) -> None:
        """What is done from now on, and how many events it will take where that is known."""

    def done(self, events: int) -> None: ...


@contextmanager
def tracking() -> Iterator[Tracker]:
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Events(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar)


class Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar, self._task = bar, bar.add_task("")

    def phase(self, name: str, events: int | None = None) -> None:
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=events)

    def done(self, events: int) -> None:
        self._bar.advance(self._task, events)


class Lines:
    def __init__(self) -> None:
        self._name, self._total, self._done = "", 0, 0
        self._began = self._told = 0.0

    def phase(self, name: str, events: int | None = None) -> None:
        self._name, self._total, self._done = name, events or 0, 0
        self._began = self._told = time.monotonic()
        counted = "" if events is None else f": {events:,} events"
        print(f"{name}{counted}", file=sys.stderr, flush=True)

    def done(self, events: int) -> None:
        self._done += events
        now = time.monotonic()
        if now - self._told < _LINE_SECONDS:
            return
        self._told = now
        rate = self._done / (now - self._began)
        left = max(0, self._total - self._done) / rate
        print(
            f"{self._name}: {self._done:,} of {self._total:,} events, {rate:,.0f}/s, "
            f"{left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )


class _Events(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("")
        rate = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total:,.0f} events{rate}")
