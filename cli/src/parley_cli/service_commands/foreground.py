"""Runs a service's own command as a foreground child process that owns the terminal."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from parley_cli.engines.process.child_process import (
    INHERITED_VARIABLES,
    LOCALE,
    inherited_environment,
    tied_to_parent,
)

# A program needs these to write to a terminal.
TERMINAL_VARIABLES = ("TERM", "COLUMNS", "LINES", "NO_COLOR")
FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# Shells report a death by signal N as exit code 128 + N.
SIGNAL_EXIT_BASE = 128
_MODULE = "parley_cli.service_commands.interruptible"


def run_in_foreground(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `python -m` with the arguments; return the exit code in the convention of shells.

    The child's environment is the given one and the variables that every program needs, nothing
    else. Raises KeyboardInterrupt once the child has ended after a Ctrl-C.
    """
    # -P: modules in the working directory are never imported.
    command = [sys.executable, "-P", "-m", _MODULE, *arguments]
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        tied_to_parent(command, signal.SIGTERM),
        env=inherited_environment((*INHERITED_VARIABLES, *TERMINAL_VARIABLES))
        | {"LC_ALL": LOCALE}
        | dict(environment),
    )
    with _forwarded_signals(child) as received:
        code = child.wait()
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return SIGNAL_EXIT_BASE - code if code < 0 else code


@contextmanager
def _forwarded_signals(child: "subprocess.Popen[bytes]") -> Iterator[set[int]]:
    received: set[int] = set()

    def forward(number: int, _: FrameType | None) -> None:
        received.add(number)
        # A terminal delivers Ctrl-C to the child itself.
        if number != signal.SIGINT:
            child.send_signal(number)

    previous = {
        number: signal.signal(number, forward) for number in (signal.SIGINT, *FORWARDED_SIGNALS)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
