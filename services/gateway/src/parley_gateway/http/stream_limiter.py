"""How many replies may be read at once, and their end when this process stops."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from parley_core.http.errors import Unavailable


class StreamLimiter:
    def __init__(self, most: int) -> None:
        self.draining = False
        self._most = most
        self._stops: set[asyncio.Future[None]] = set()

    @contextmanager
    def one(self) -> Iterator[asyncio.Future[None]]:
        """Room for one more; what it gives is done when this process stops. Raises Unavailable."""
        if self.draining or len(self._stops) >= self._most:
            raise Unavailable("Too many replies are being read; try again.", code="gateway_busy")
        stop = asyncio.get_running_loop().create_future()
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)

    def drain(self) -> None:
        self.draining = True
        for stop in self._stops:
            if not stop.done():
                stop.set_result(None)
