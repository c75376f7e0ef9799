"""Resumes the stream of a turn after any event, also once the turn has ended."""

from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Header, Query
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_contracts import turn_sse as sse
from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest
from parley_gateway.auth.authenticator import Authenticator, caller_of
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.stream_tickets import InvalidTicket, StreamTickets
from parley_gateway.http.asgi_response import ASGIResponse
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.http.sse_response import response_start
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.schemas.fields import CANONICAL_NUMBER, MAX_VERSION
from parley_gateway.schemas.queries import ResumeQuery
from parley_gateway.turns.event_relay import TurnEventRelays, parse_turn
from parley_gateway.turns.stream_response import TurnStreamResponse

LastEventId = int | Literal["end"] | None


class TicketAuthenticator:
    """Authenticates by ticket, or else by bearer token.

    With a ticket no header counts: a proxy may add its own Authorization header.
    """

    def __init__(
        self, authenticator: Authenticator, tickets: StreamTickets, revocations: RevocationList
    ) -> None:
        self._authenticator, self._tickets = authenticator, tickets
        self._revocations = revocations

    async def authenticate(self, request: Request, turn_id: UUID) -> Caller:
        # Not APIKeyQuery's result, which is None for an empty ticket as well.
        ticket = request.query_params.get("ticket")
        if ticket is None:
            return await self._authenticator.authenticate(request)
        principal = self._tickets.verify(ticket, turn_id)
        try:
            self._revocations.check(principal)
        except InvalidToken:
            raise InvalidTicket("The token that the ticket was made with was revoked.") from None
        return caller_of(request, principal)


async def last_event_id(
    query: Annotated[ResumeQuery, Query()],
    last_event_id: Annotated[
        list[str] | None,
        Header(
            alias="Last-Event-ID",
            description="The `id` of the last received event.",
        ),
        WithJsonSchema({"type": "string", "pattern": "^(0|[1-9][0-9]{0,9}|end)$"}),
    ] = None,
) -> LastEventId:
    """The last event that the client has received; None for none.

    An EventSource repeats its first URL and adds the header, which is the newer of the two.
    Raises InvalidRequest.
    """
    if not last_event_id:
        return query.starting_after
    [event_id] = last_event_id if len(last_event_id) == 1 else [""]
    if event_id == sse.END:
        return "end"
    if not CANONICAL_NUMBER.fullmatch(event_id) or int(event_id) > MAX_VERSION:
        raise InvalidRequest("Input should be the id of an event.", param="Last-Event-ID")
    return int(event_id)


ResumeAfter = Annotated[LastEventId, Depends(last_event_id)]


class StreamResumer:
    def __init__(
        self,
        forwarder: Forwarder,
        upstreams: Upstreams,
        relays: TurnEventRelays,
        streams: StreamLimiter,
    ) -> None:
        self._forwarder, self._upstreams = forwarder, upstreams
        self._relays, self._streams = relays, streams

    def resume(
        self, turn_id: UUID, caller: Caller, after: LastEventId, ticket: str | None
    ) -> Response:
        return ASGIResponse(partial(self._send, turn_id, caller, after, ticket))

    async def _send(
        self,
        turn_id: UUID,
        caller: Caller,
        after: LastEventId,
        ticket: str | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async with self._streams.slot(caller.principal, "sse") as stop:
            response = await self._forwarder.call(
                self._upstreams.session, "GET", f"/turns/{turn_id}", caller
            )
            turn = parse_turn(response.body)
            if after == "end":
                # 204 stops an EventSource from reconnecting.
                await Response(status_code=204)(scope, receive, send)
                return
            if scope["method"] == "HEAD":
                # The body is not produced: the connection would be held until the turn ends.
                await send(response_start(sse.HEADERS))
                await send({"type": "http.response.body", "body": b""})
                return
            events = self._relays.resumed(turn, caller, after or 0, ticket)
            await TurnStreamResponse(events).send_events(
                receive, send, stop, resumes=after is not None
            )
