"""Limits the number of concurrent streams, and ends them when the process shuts down."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from parley_core.auth.principal import Principal
from parley_core.http.errors import Unavailable
from parley_core.http.person_limit import PersonLimit


class StreamLimiter:
    def __init__(self, max_streams: int, max_person_share: float) -> None:
        self.draining = False
        self._limit = PersonLimit(
            max_streams,
            max_person_share,
            things="streams",
            person_code="too_many_streams",
            busy_code="gateway_busy",
        )
        self._stops: set[asyncio.Future[None]] = set()

    @contextmanager
    def slot(self, principal: Principal) -> Iterator[asyncio.Future[None]]:
        """Take a slot; the future is done when the process is stopping.

        Raises Unavailable, or TooManyRequests for a person with their full share.
        """
        if self.draining:
            raise Unavailable("The server is shutting down. Please retry.", code="gateway_busy")
        with self._limit.slot(principal):
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
