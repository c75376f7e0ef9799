"""Limits the number of concurrent streams, and ends them when the process shuts down, or when the
token or API key that opened them is revoked.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Literal

from parley_core.auth.principal import Principal
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.person_limit import PersonLimit
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.revocation_list import RevocationList

StreamKind = Literal["sse", "json", "openai", "export"]
"""Clients resume `sse` through another gateway; the others lose what they wait for."""

Stop = asyncio.Future[ParleyError | None]
"""Done when the stream must end: because of that error, or of the shutdown."""

KINDS: tuple[StreamKind, ...] = ("sse", "json", "openai", "export")
RESUMABLE = "sse"

# Reserved at the end of a drain to send clients an error.
_LAST_EVENT_SECONDS = 1.0
_HURRIED_SECONDS = 4.0
# So that the clients of a tenant do not reconnect together, of whom each gets a 401.
_REVOKED_SECONDS = 4.0


class StreamLimiter:
    """`open` counts the streams by kind.

    At shutdown, streams that clients can resume end one after the other within `handover_seconds`,
    so that their clients do not reconnect together. The others may run for `drain_seconds`.
    """

    def __init__(
        self,
        max_streams: int,
        max_person_share: float,
        *,
        revocations: RevocationList,
        drain_seconds: float,
        handover_seconds: float,
        within_limits: Callable[[Principal], AbstractAsyncContextManager[None]] = (
            lambda _: nullcontext()
        ),
        spread: Callable[[], float] = random.random,
    ) -> None:
        """`within_limits` admits a stream of a person, over all gateways, during its block.

        `spread` returns numbers from 0 to 1.
        """
        self.draining = False
        self.max_streams = max_streams
        self.open: Counter[StreamKind] = Counter(dict.fromkeys(KINDS, 0))
        self._limit = PersonLimit(
            max_streams,
            max_person_share,
            things="streams",
            person_code="too_many_streams",
            busy_code="gateway_busy",
        )
        self._revocations = revocations
        self._drain_seconds = max(0.0, drain_seconds - _LAST_EVENT_SECONDS)
        self._handover_seconds, self._spread = handover_seconds, spread
        self._within_limits = within_limits
        self._stops: dict[Stop, tuple[StreamKind, Principal]] = {}

    @asynccontextmanager
    async def slot(self, principal: Principal, kind: StreamKind) -> AsyncIterator[Stop]:
        """Take a slot; the future is done when the stream must end.

        Raises Unavailable, TooManyRequests for a person with their full share, or InvalidToken for
        a token that was revoked since the request was authenticated.
        """
        if self.draining:
            raise shutting_down()
        with self._limit.slot(principal):
            async with self._within_limits(principal):
                with self._stoppable(principal, kind) as stop:
                    yield stop

    @contextmanager
    def _stoppable(self, principal: Principal, kind: StreamKind) -> Iterator[Stop]:
        if self.draining:
            # It began while the limits were asked.
            raise shutting_down()
        self._revocations.check(principal)
        stop: Stop = asyncio.get_running_loop().create_future()
        self._stops[stop] = kind, principal
        self.open[kind] += 1
        try:
            yield stop
        finally:
            self.open[kind] -= 1
            del self._stops[stop]

    def drain(self) -> None:
        """Admit no more streams, and end those that are open in time."""
        self.draining = True
        for stop, (kind, _) in self._stops.items():
            if kind == RESUMABLE:
                self._end_after(self._spread() * self._handover_seconds, stop)
            else:
                self._end_after(self._drain_seconds, stop)

    def hurry(self) -> None:
        """End all streams within seconds."""
        for stop in self._stops:
            self._end_after(self._spread() * _HURRIED_SECONDS, stop)

    def end_revoked(self) -> None:
        """End the streams of revoked tokens and API keys within seconds."""
        for stop, (_, principal) in self._stops.items():
            try:
                self._revocations.check(principal)
            except InvalidToken as error:
                seconds = self._spread() * _REVOKED_SECONDS
                self._end_after(seconds, stop, error)

    def _end_after(self, seconds: float, stop: Stop, error: ParleyError | None = None) -> None:
        def end() -> None:
            if not stop.done():
                stop.set_result(error)

        asyncio.get_running_loop().call_later(seconds, end)


def shutting_down() -> Unavailable:
    return Unavailable("The server is shutting down. Please retry.", code="gateway_busy")
