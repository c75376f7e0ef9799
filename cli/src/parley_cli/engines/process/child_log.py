"""Log file of a child process, and the lines of it that explain a failure."""

import os
import re
import shutil
from pathlib import Path
from typing import IO

# Most specific first; the last matching line of the first matching pattern is chosen.
EXPLANATIONS = (
    re.compile(
        r"No space left|Address already in use|Permission denied|Read-only file system",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:FATAL|PANIC)\b|^\S+(?:Exception|Error): |^Caused by: "),
    # uvicorn logs everything, errors or not, under the name uvicorn.error.
    re.compile(r"(?<!uvicorn\.)\berror\b", re.IGNORECASE),
)
LOW_DISK_BYTES = 1024 * 1024
MAX_LOG_BYTES = 10 * 1024 * 1024
MAX_TAIL_BYTES = 256 * 1024


class ChildLog:
    """A file to which every run of a child appends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_offset = 0

    def open_for_run(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rotate_if_large()
        log = self.path.open("ab")
        self._run_offset = log.tell()
        return log

    def rotate_if_large(self) -> None:
        """Move the content of a large log to `.log.1`, replacing the one before."""
        if not self.path.exists() or self.path.stat().st_size <= MAX_LOG_BYTES:
            return
        # Copied and truncated, not renamed: a running child keeps writing to the same file.
        shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
        os.truncate(self.path, 0)
        self._run_offset = 0

    def explanation(self) -> str:
        """The line of the current run that best explains its failure."""
        # A full disk also swallows the line that would report it.
        if shutil.disk_usage(self.path.parent).free < LOW_DISK_BYTES:
            return f"No space left on the device of {self.path.parent}."
        lines = self.last_lines()
        for pattern in EXPLANATIONS:
            if matching := [line for line in lines if pattern.search(line)]:
                return matching[-1]
        return lines[-1] if lines else f"it logged nothing to {self.path}."

    def last_lines(self, max_lines: int | None = None) -> list[str]:
        """The last lines of the current run, without empty ones."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._run_offset, end - MAX_TAIL_BYTES))
            text = log.read(MAX_TAIL_BYTES).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines if max_lines is None else lines[-max_lines:]
