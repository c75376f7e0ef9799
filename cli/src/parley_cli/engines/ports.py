"""Selection of free loopback ports for child processes."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

from parley_cli.engines.errors import EngineError

# Below the ephemeral range: an outgoing connection could otherwise take a port between its
# selection and the start of the child.
PORT_RANGE = range(20_000, 32_000)

_selected: set[int] = set()


def free_port() -> int:
    """A loopback port that is free now. Raises EngineError.

    It is reserved until this process ends, so that no other process of this user selects it before
    the child listens on it.
    """
    first = random.SystemRandom().randrange(len(PORT_RANGE))
    for offset in range(len(PORT_RANGE)):
        port = PORT_RANGE[(first + offset) % len(PORT_RANGE)]
        if _reserve(port) and _is_free(port):
            return port
    raise EngineError(f"No free port found from {PORT_RANGE.start} to {PORT_RANGE.stop}.")


def require_free(port: int, name: str) -> None:
    """Raise EngineError if a process already listens on the port."""
    if not _is_free(port):
        raise EngineError(f"{name} cannot listen on port {port}: another process uses it.")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # Otherwise closed connections of the previous run (TIME_WAIT) would count as port in use.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Lock the byte of this port in a file that all processes of the user share."""
    # The lock belongs to the process: it does not exclude a second selection by the process itself.
    if port in _selected:
        return False
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _selected.add(port)
    return True


@cache
def _reservations() -> int:
    """A file descriptor. It stays open: a process that closes the file loses its locks."""
    path = Path(tempfile.gettempdir()) / f"parley-ports-{os.getuid()}.lock"
    # The folder is everybody's, and another user may have put a link there.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
