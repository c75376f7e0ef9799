"""Selection of free loopback ports for child processes."""

import contextlib
import random
import socket

from parley_cli.engines.errors import EngineError

# Below the ephemeral range: an outgoing connection could otherwise take a port between its
# selection and the start of the child.
PORT_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """A loopback port that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that are free now. Raises EngineError.

    They follow each other from a random one: of two stacks that start at the same time, with
    dozens of ports each, hardly ever one takes a port that the other has chosen.
    """
    ports: list[int] = []
    first = random.SystemRandom().randrange(len(PORT_RANGE))
    for offset in range(100 + count):
        port = PORT_RANGE[(first + offset) % len(PORT_RANGE)]
        if len(ports) < count:
            with contextlib.suppress(EngineError):
                require_free(port, "A process")
                ports.append(port)
    if len(ports) < count:
        raise EngineError(f"No free port found from {PORT_RANGE.start} to {PORT_RANGE.stop}.")
    return ports


def require_free(port: int, name: str) -> None:
    """Raise EngineError if a process already listens on the port."""
    with socket.socket() as listener:
        # Otherwise closed connections of the previous run (TIME_WAIT) would count as port in use.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise EngineError(
                f"{name} cannot listen on port {port}: another process uses it."
            ) from error
