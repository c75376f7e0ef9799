"""The answer that carries a turn once it has ended, for clients that read no stream."""

import asyncio
from contextlib import aclosing

from starlette.types import Receive

from parley_contracts.api_models import Turn
from parley_core.http.errors import NotFound, ParleyError
from parley_gateway.http.request_lifetime import RequestLifetime
from parley_gateway.turns.event_relay import TurnEventRelay


class TurnStillRunning(ParleyError):
    status, type, code = 504, "server_error", "reply_pending"

    def __init__(self, *, can_repeat: bool) -> None:
        super().__init__(
            "The reply is not done yet. It goes on: the same request with its Idempotency-Key "
            "fetches it, and so does the session's history.",
            # Otherwise the same request again would be another message.
            headers={} if can_repeat else {"x-should-retry": "false"},
        )


class TurnResponse:
    def __init__(
        self,
        events: TurnEventRelay,
        *,
        reply_seconds: float,
        hand_over_seconds: float,
        can_repeat: bool,
    ) -> None:
        self._events, self._can_repeat = events, can_repeat
        self._reply_seconds, self._hand_over_seconds = reply_seconds, hand_over_seconds

    async def turn(self, receive: Receive, stop: asyncio.Future[None]) -> Turn:
        """The turn as it ended. Raises TurnStillRunning, or NotFound when its session was
        erased."""
        waiting = asyncio.create_task(self._ended())
        ending = await RequestLifetime(receive, stop, self._events.handed_over).during(
            waiting, within=self._reply_seconds, hand_over_within=self._hand_over_seconds
        )
        turn = waiting.result() if ending == "done" else None
        if turn is None and self._events.gone:
            raise NotFound("There is no such session.", code="session_not_found")
        if turn is None:
            raise TurnStillRunning(can_repeat=self._can_repeat)
        return turn

    async def handed_over(self, receive: Receive, stop: asyncio.Future[None]) -> Turn:
        """The turn as it was submitted, once inference has it or has not taken it in time."""
        waiting = asyncio.create_task(self._ended())
        await RequestLifetime(receive, stop, self._events.handed_over).during(
            waiting, within=0, hand_over_within=self._hand_over_seconds
        )
        return self._events.turn

    async def _ended(self) -> Turn | None:
        if self._events.turn.status != "running":
            return self._events.turn
        async with aclosing(self._events.read()) as batches:
            async for _ in batches:
                pass
        return await self._events.fetch_ended_turn()
