"""Submits a message or regenerates a reply, and returns the reply as a stream or as JSON."""

from functools import partial
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.auth.caller import Caller
from parley_core.http.errors import InvalidRequest
from parley_gateway.http.asgi_response import ASGIResponse
from parley_gateway.http.request_parsing import check_size
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.schemas.requests import Regenerate, ReplyOptions, SubmitMessage
from parley_gateway.turns.json_response import TurnResponse
from parley_gateway.turns.open_turn import Command, TurnOpener
from parley_gateway.turns.stream_response import TurnStreamResponse
from parley_gateway.turns.stream_url import with_stream_url


class MessageSubmitter:
    def __init__(
        self, opener: TurnOpener, streams: StreamLimiter, *, reply_timeout_seconds: float
    ) -> None:
        self._opener, self._streams = opener, streams
        self._reply_timeout_seconds = reply_timeout_seconds

    def submit(
        self, session_id: UUID, body: SubmitMessage, caller: Caller, headers: dict[str, str]
    ) -> Response:
        check_size(body.content)
        return self._response(session_id, "messages", body, caller, headers)

    def regenerate(
        self, session_id: UUID, body: Regenerate, caller: Caller, headers: dict[str, str]
    ) -> Response:
        return self._response(session_id, "regenerate", body, caller, headers)

    def _response(
        self,
        session_id: UUID,
        command: Command,
        body: ReplyOptions,
        caller: Caller,
        headers: dict[str, str],
    ) -> Response:
        if body.stream and body.background:
            raise InvalidRequest("A background turn cannot be streamed.", param="background")
        return ASGIResponse(partial(self._send, session_id, command, body, caller, headers))

    async def _send(
        self,
        session_id: UUID,
        command: Command,
        body: ReplyOptions,
        caller: Caller,
        headers: dict[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        # Take the slot before the commit: an accepted message must also be answered.
        async with self._streams.slot(caller.principal, "sse" if body.stream else "json") as stop:
            events = await self._opener.open(
                session_id, command, body.to_command(), caller, headers, scope
            )
            if body.stream:
                await TurnStreamResponse(events).send_events(receive, send, stop)
                return
            response = TurnResponse(
                events,
                reply_timeout_seconds=self._reply_timeout_seconds,
                can_repeat=bool(headers),
            )
            if body.background:
                turn = await response.wait_until_handed_over(receive, stop)
            else:
                turn = await response.wait_until_ended(receive, stop)
        status = 202 if turn.status == "running" else 200
        answer = with_stream_url(turn.to_json(), events.stream_url)
        await Response(answer, status, media_type="application/json")(scope, receive, send)
