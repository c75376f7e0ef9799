"""A terminal of 80 columns in which a command runs, and what is left on its screen."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT_SECONDS = 30
# The terminal must be the controlling one of the command, or Ctrl-C would be sent to nobody.
_RUN = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "parley_cli", *sys.argv[1:]])
"""


class Terminal:
    def __init__(self, descriptor: int, process: "subprocess.Popen[bytes]") -> None:
        self._descriptor, self.process = descriptor, process
        self.written = ""
        self._seen = 0

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until the command has written the text, after those waited for before."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (found := self.written.find(text, self._seen)) < 0:
            assert time.monotonic() < deadline, self.written
            self._read()
        self._seen = found + len(text)

    def wait_for_end(self, repeated_keys: str = "") -> int:
        """The exit code. The keys are typed again whenever nothing happened for a second."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        read = len(self.written)
        while self._read():
            assert time.monotonic() < deadline, self.written
            if read == len(self.written) and repeated_keys:
                self.type(repeated_keys)
            read = len(self.written)
        return self.process.wait(TIMEOUT_SECONDS)

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], 1)[0]:
            return True
        try:
            read = os.read(self._descriptor, 65536)
        except OSError:  # Linux, once the command has closed the terminal.
            return False
        self.written += read.decode(errors="replace")
        return bool(read)


@contextmanager
def running_in_terminal(*arguments: str) -> Iterator[Terminal]:
    """Run `parley` with the arguments in a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def left_on_screen(written: str) -> str:
    """The screen after lines, erased lines (2K) and moves up (1A)."""
    lines, row = [""], 0
    for part in re.split(r"(\n|\x1b\[[?\d;]+[A-Za-z])", written.replace("\r", "")):
        match part:
            case "\n":
                row += 1
                lines.extend([""] * (row + 1 - len(lines)))
            case "\x1b[2K":
                lines[row] = ""
            case "\x1b[1A":
                row -= 1
            case _ if not part.startswith("\x1b"):
                lines[row] += part
    return "\n".join(lines)
