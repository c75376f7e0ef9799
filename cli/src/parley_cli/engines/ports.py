"""The loopback ports that engines listen on."""

import contextlib
import random
import socket

from parley_cli.engines.failure import EngineFailed

# Below the ports that systems hand to outgoing connections: one of those could take a port
# between its choice and the engine's start.
CHOICE = range(20_000, 32_000)


def free_port() -> int:
    """A loopback port that nobody uses at this moment."""
    for port in random.SystemRandom().sample(CHOICE, 100):
        with contextlib.suppress(EngineFailed):
            require_free(port, "An engine")
            return port
    raise EngineFailed(f"No free port was found from {CHOICE.start} to {CHOICE.stop}.")


def require_free(port: int, engine: str) -> None:
    """Raise EngineFailed when something already listens on the port."""
    with socket.socket() as listener:
        # Without it, closed connections of the last run would count as a taken port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise EngineFailed(
                f"{engine} cannot listen on port {port}: another process already uses it."
            ) from error
