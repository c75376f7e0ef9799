"""What a child process logged, and the line of it to show when the child failed."""

import re
import shutil
from pathlib import Path
from typing import IO

# The most telling first; of each kind the last line.
TELLING = (
    re.compile(r"No space left|Address already in use|Permission denied|Read-only file system"),
    re.compile(r"\b(?:FATAL|PANIC)\b|^\S+(?:Exception|Error): |^Caused by: "),
    re.compile(r"\berror\b", re.IGNORECASE),
)
LITTLE_SPACE = 1024 * 1024  # Bytes.


class ChildLog:
    """A file that every run of a child appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run_begins = 0

    def open_for_run(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        log = self.path.open("ab")
        self._run_begins = log.tell()
        return log

    def most_telling_line(self) -> str:
        """Of the current run only."""
        # A full disk also swallows the line that would tell of it.
        if shutil.disk_usage(self.path.parent).free < LITTLE_SPACE:
            return f"No space left on the device of {self.path.parent}."
        lines = self._of_this_run()
        for telling in TELLING:
            if found := [line for line in lines if telling.search(line)]:
                return found[-1]
        return lines[-1] if lines else f"it logged nothing to {self.path}."

    def _of_this_run(self) -> list[str]:
        with self.path.open("rb") as log:
            log.seek(self._run_begins)
            text = log.read().decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
