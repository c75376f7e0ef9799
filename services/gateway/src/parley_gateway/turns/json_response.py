"""Waits for the end of a turn, for clients that read no stream."""

import asyncio
from contextlib import aclosing

from starlette.types import Receive

from parley_contracts.api_models import Turn
from parley_core.http.errors import NotFound, ParleyError
from parley_core.http.request_lifetime import RequestLifetime
from parley_gateway.http.stream_limiter import Stop
from parley_gateway.turns.event_relay import TurnEventRelay


class TurnStillRunning(ParleyError):
    status, type, code = 504, "server_error", "reply_pending"

    def __init__(self, *, can_repeat: bool) -> None:
        super().__init__(
            "The reply is still running. Repeat the request with the same Idempotency-Key, or "
            "read the session's history.",
            # Without a key, a repeated request would submit another message.
            headers={} if can_repeat else {"x-should-retry": "false"},
        )


class TurnResponse:
    def __init__(
        self, events: TurnEventRelay, *, reply_timeout_seconds: float, can_repeat: bool
    ) -> None:
        self._events, self._can_repeat = events, can_repeat
        self._reply_timeout_seconds = reply_timeout_seconds

    async def wait_until_ended(self, receive: Receive, stop: Stop) -> Turn:
        """The ended turn.

        Raises TurnStillRunning, NotFound when its session was erased, or the error of `stop`.
        """
        waiting = asyncio.create_task(self._ended_turn())
        reason = await RequestLifetime(receive, stop, self._events.handed_over).supervise(
            waiting,
            timeout=self._reply_timeout_seconds,
            handover_timeout=self._events.handover_timeout_seconds,
        )
        if reason == "stopping" and (error := stop.result()) is not None:
            raise error
        turn = waiting.result() if reason == "done" else None
        if turn is None and self._events.session_erased:
            raise NotFound("There is no such session.", code="session_not_found")
        if turn is None:
            raise TurnStillRunning(can_repeat=self._can_repeat)
        return turn

    async def wait_until_handed_over(self, receive: Receive, stop: Stop) -> Turn:
        """The submitted turn, once inference has it or has not accepted it in time."""
        waiting = asyncio.create_task(self._ended_turn())
        await RequestLifetime(receive, stop, self._events.handed_over).supervise(
            waiting, timeout=0, handover_timeout=self._events.handover_timeout_seconds
        )
        return self._events.turn

    async def _ended_turn(self) -> Turn | None:
        if self._events.turn.status != "running":
            return self._events.turn
        async with aclosing(self._events.read()) as batches:
            async for _ in batches:
                pass
        return await self._events.fetch_ended_turn()
