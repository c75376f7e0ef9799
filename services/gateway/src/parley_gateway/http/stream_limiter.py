"""Limits the number of concurrent streams, and ends them when the process shuts down."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from parley_core.http.errors import Unavailable


class StreamLimiter:
    def __init__(self, max_streams: int) -> None:
        self.draining = False
        self._max_streams = max_streams
        self._stops: set[asyncio.Future[None]] = set()

    @contextmanager
    def slot(self) -> Iterator[asyncio.Future[None]]:
        """Take a slot; the future is done when the process is stopping. Raises Unavailable."""
        if self.draining or len(self._stops) >= self._max_streams:
            raise Unavailable("Too many concurrent streams. Please retry.", code="gateway_busy")
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
