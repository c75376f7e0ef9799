"""GET /v1/turns/{turn_id}/stream: a turn's events from any place on, also when it has ended."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_core.http.service_auth import request_id
from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.request_parsing import path_id, place_to_resume_after
from parley_gateway.http.sse_response import start_of_answer
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.turns.event_relay import TurnEventRelay, turn_in
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.stream_response import TurnStreamResponse


class ResumeStreamEndpoint:
    """An ASGI application: its answer is a stream."""

    def __init__(self, parts: Parts, streams: StreamLimiter, limits: TurnLimits) -> None:
        self._parts, self._streams, self._limits = parts, streams, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asker = await self._asker(request)
        turn_id, after = path_id(request, "turn_id"), place_to_resume_after(request)
        with self._streams.one() as stop:
            turn = await self._turn(turn_id, asker)
            if after == "end":
                # To an EventSource it says that there is nothing more to ask for.
                await Response(status_code=204)(scope, receive, send)
                return
            if request.method == "HEAD":
                # What it would send is not made: the connection would be held until the turn ends.
                await send(start_of_answer(sse.HEADERS))
                await send({"type": "http.response.body", "body": b""})
                return
            limits = self._limits.relay
            events = TurnEventRelay(turn, asker, self._parts, limits, after or 0)
            stream = TurnStreamResponse(events, self._limits.heartbeat, limits.reattach)
            await stream.answer(receive, send, stop, resumes=after is not None)

    async def _asker(self, request: Request) -> Caller:
        """With a ticket no header counts: a proxy's own may come with it."""
        ticket = request.query_params.get("ticket")
        if ticket is None:
            return await self._parts.authenticate(request)
        person = self._parts.tickets.person(ticket, path_id(request, "turn_id"))
        return Caller(person, request_id(request), ticket)

    async def _turn(self, turn_id: UUID, asker: Caller) -> Turn:
        answer = await self._parts.peers.session.call(
            "GET",
            f"/turns/{turn_id}",
            principal=asker.principal,
            request_id=asker.request_id,
            timeout=self._limits.call,
        )
        return turn_in(answer.body)
