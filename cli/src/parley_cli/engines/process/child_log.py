"""What a child process logged, and the lines of it to show when the child failed."""

import os
import re
import shutil
from pathlib import Path
from typing import IO

# The most telling first; of each kind the last line.
TELLING = (
    re.compile(
        r"No space left|Address already in use|Permission denied|Read-only file system",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:FATAL|PANIC)\b|^\S+(?:Exception|Error): |^Caused by: "),
    # uvicorn logs whatever it does under the name uvicorn.error.
    re.compile(r"(?<!uvicorn\.)\berror\b", re.IGNORECASE),
)
LITTLE_SPACE = 1024 * 1024  # Bytes.
LARGEST = 10 * 1024 * 1024
READ_BACK = 256 * 1024


class ChildLog:
    """A file that every run of a child appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_begins = 0

    def open_for_run(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.keep_small()
        log = self.path.open("ab")
        self._run_begins = log.tell()
        return log

    def keep_small(self) -> None:
        """Put a log that has grown too large aside, in the place of the one before."""
        if not self.path.exists() or self.path.stat().st_size <= LARGEST:
            return
        # Copied and emptied, not renamed: a child that runs goes on writing to the same file.
        shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
        os.truncate(self.path, 0)
        self._run_begins = 0

    def most_telling_line(self) -> str:
        """Of the current run only."""
        # A full disk also swallows the line that would tell of it.
        if shutil.disk_usage(self.path.parent).free < LITTLE_SPACE:
            return f"No space left on the device of {self.path.parent}."
        lines = self.last_lines()
        for telling in TELLING:
            if found := [line for line in lines if telling.search(line)]:
                return found[-1]
        return lines[-1] if lines else f"it logged nothing to {self.path}."

    def last_lines(self, most: int | None = None) -> list[str]:
        """Of the current run only."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._run_begins, end - READ_BACK))
            text = log.read(READ_BACK).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines if most is None else lines[-most:]
