"""Exit codes of a program, and signals that end it: SIGTERM works as PID 1 as well."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INVALID_SETTINGS = 2
# As shells report a program that a signal ended: 128 and the number of the signal.
INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Like Ctrl-C, it unwinds the program wherever it is."""


def exit_code(run: Callable[[], int]) -> int:
    """Run a program and return its exit code, also when a signal ends it.

    The kernel ignores SIGTERM for PID 1 of a container unless the program has a handler.
    """
    try:
        with _sigterm_raises():
            return run()
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals can be handled in the main thread only.
        return
    previous = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _raise(number: int, frame: FrameType | None) -> None:
    del number, frame
    # A second signal must not interrupt the clean-up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
