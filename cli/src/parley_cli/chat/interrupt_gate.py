"""Keeps Ctrl-C and typed keys from tearing the lines of a reply that is being drawn."""

import contextlib
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec, Self

Parameters = ParamSpec("Parameters")


class InterruptGate:
    """Raises KeyboardInterrupt for a Ctrl-C only while the gate is open, or once it opens.

    A context manager of the main thread, open at first.
    """

    def __init__(self) -> None:
        self._is_closed = self._is_pending = False

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self._is_closed = True
        try:
            yield
        finally:
            self._is_closed = False
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt

    def protecting(self, draw: Callable[Parameters, None]) -> Callable[Parameters, None]:
        """The function, during which the gate is closed."""

        def protected(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            with self.closed():
                draw(*args, **kwargs)

        return protected

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        if not self._is_closed:
            raise KeyboardInterrupt
        self._is_pending = True


@contextlib.contextmanager
def without_echo() -> Iterator[None]:
    """Keep the terminal from showing typed keys, such as ^C; they remain to be read."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
