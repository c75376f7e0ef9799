"""The loopback ports that child processes listen on."""

import contextlib
import random
import socket

from parley_cli.engines.errors import EngineError

# Below the ports that systems hand to outgoing connections: one of those could take a port
# between its choice and the child's start.
CHOICE = range(20_000, 32_000)


def free_port() -> int:
    """A loopback port that nobody uses at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody uses at this moment."""
    found: list[int] = []
    for port in random.SystemRandom().sample(CHOICE, 100 + count):
        if len(found) < count:
            with contextlib.suppress(EngineError):
                require_free(port, "A process")
                found.append(port)
    if len(found) < count:
        raise EngineError(f"No free port was found from {CHOICE.start} to {CHOICE.stop}.")
    return found


def require_free(port: int, name: str) -> None:
    """Raise EngineError when something already listens on the port."""
    with socket.socket() as listener:
        # Without it, closed connections of the last run would count as a taken port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise EngineError(
                f"{name} cannot listen on port {port}: another process already uses it."
            ) from error
