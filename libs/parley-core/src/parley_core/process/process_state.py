"""State of a process as its probes report it: starting, ready or stopping."""

import time
from collections.abc import Sequence

# The loop ticks every quarter of a second. A loop that is late by less is busy, not dead: killing
# it would move its load to the other processes.
MAX_TICK_AGE_SECONDS = 10.0


class ProcessState:
    """Written in the event loop, read by any thread.

    A process is ready once it has been able to serve, and until it stops: dependencies that fail
    later do not count, because without them another process could not serve either.
    """

    def __init__(self) -> None:
        self.waiting_for: Sequence[str] = ()
        self.started = False
        self.draining = False
        self._ticked_at: float | None = None

    @property
    def ready(self) -> bool:
        return self.started and not self.draining

    @property
    def phase(self) -> str:
        if self.draining:
            return "stopping"
        return "ok" if self.started else "starting"

    def wait_for(self, *names: str) -> None:
        """The start waits for these dependencies."""
        self.waiting_for = names

    def mark_started(self) -> None:
        self.waiting_for, self.started = (), True

    def tick(self) -> None:
        """Called in the event loop, several times within MAX_TICK_AGE_SECONDS."""
        self._ticked_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the event loop runs; True before it does."""
        ticked_at = self._ticked_at
        return ticked_at is None or time.monotonic() - ticked_at < MAX_TICK_AGE_SECONDS
