"""Progress of an export on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_LINE_INTERVAL_SECONDS = 5


class ProgressReport(Protocol):
    def start(self, name: str, records: int) -> None: ...
    def advance(self, records: int) -> None: ...


@contextmanager
def progress_report() -> Iterator[ProgressReport]:
    if not sys.stderr.isatty():
        yield LineReport()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield BarReport(progress)


class BarReport:
    def __init__(self, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task("")

    def start(self, name: str, records: int) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=records)

    def advance(self, records: int) -> None:
        self._progress.advance(self._task, records)


class LineReport:
    def __init__(self) -> None:
        self._name, self._total, self._done = "", 0, 0
        self._started_at = self._printed_at = 0.0

    def start(self, name: str, records: int) -> None:
        self._name, self._total, self._done = name, records, 0
        self._started_at = self._printed_at = time.monotonic()

    def advance(self, records: int) -> None:
        self._done += records
        now = time.monotonic()
        if now - self._printed_at < _LINE_INTERVAL_SECONDS or not self._done:
            return
        self._printed_at = now
        rate = self._done / (now - self._started_at)
        seconds_left = max(0, self._total - self._done) / rate
        print(
            f"{self._name}: {self._done:,} of {self._total:,} records, {rate:,.0f}/s, "
            f"{seconds_left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("")
        rate = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total:,.0f} records{rate}")
