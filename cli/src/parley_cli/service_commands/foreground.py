"""A service's own command as a child in the foreground: the terminal is the child's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from parley_cli.engines.process.child_process import INHERITED, LOCALE, TIED_CHILD, inherited

# What a program needs to write to a terminal.
TERMINAL = ("TERM", "COLUMNS", "LINES", "NO_COLOR")
PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
ENDED_BY_SIGNAL = 128
_MODULE = "parley_cli.service_commands.interruptible"


def run_in_foreground(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `python -m` with the arguments; its exit code, as a shell has it after a signal.

    Besides the environment given the child gets what every program needs, nothing else. Raises
    KeyboardInterrupt when it has ended after a Ctrl-C.
    """
    tie = [str(TIED_CHILD), str(os.getpid()), str(int(signal.SIGTERM)), ""]
    child = subprocess.Popen(  # noqa: S603 - the command is ours
        # -P: what lies in the folder that it runs in is never imported.
        [*[sys.executable, "-I", "-S", *tie], sys.executable, "-P", "-m", _MODULE, *arguments],
        env=inherited((*INHERITED, *TERMINAL)) | {"LC_ALL": LOCALE} | dict(environment),
    )
    with _signals_are_the_childs(child) as received:
        code = child.wait()
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    return ENDED_BY_SIGNAL - code if code < 0 else code


@contextmanager
def _signals_are_the_childs(child: "subprocess.Popen[bytes]") -> Iterator[set[int]]:
    received: set[int] = set()

    def pass_on(number: int, _: FrameType | None) -> None:
        received.add(number)
        # A terminal's Ctrl-C has reached the child already.
        if number != signal.SIGINT:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, *PASSED_ON)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
