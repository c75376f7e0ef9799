"""POST …/messages and …/regenerate: commit what opens a turn, then answer with the reply to it."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import InvalidRequest
from parley_gateway.http.request_parsing import body_of, check_size, idempotency_header, path_id
from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.parts import Parts
from parley_gateway.schemas.requests import ReplyOptions, SubmitMessage
from parley_gateway.turns.json_response import TurnResponse
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.stream_response import TurnStreamResponse


class SubmitMessageEndpoint:
    """An ASGI application: its answer may be a stream."""

    def __init__(
        self,
        parts: Parts,
        opening: TurnOpener,
        streams: StreamLimiter,
        limits: TurnLimits,
        command: Literal["messages", "regenerate"],
        shape: type[ReplyOptions],
    ) -> None:
        self._parts, self._opening = parts, opening
        self._streams, self._limits = streams, limits
        self._command, self._shape = command, shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asker = await self._parts.authenticate(request)
        session_id = path_id(request, "session_id")
        key = idempotency_header(request)
        asked = await body_of(request, self._shape, self._limits.body)
        if isinstance(asked, SubmitMessage):
            check_size(asked.content)
        if asked.stream and asked.background:
            raise InvalidRequest("A turn in the background is not streamed.", param="background")
        # Before the commit: a message that was accepted must also be answered.
        with self._streams.one() as stop:
            events = await self._opening.turn(
                session_id, self._command, asked.command(), asker, key
            )
            hand_over = self._limits.relay.reattach
            if asked.stream:
                stream = TurnStreamResponse(events, self._limits.heartbeat, hand_over)
                await stream.answer(receive, send, stop)
                return
            waiting = TurnResponse(
                events,
                reply_seconds=self._limits.reply,
                hand_over_seconds=hand_over,
                can_repeat=bool(key),
            )
            if asked.background:
                turn = await waiting.handed_over(receive, stop)
            else:
                turn = await waiting.turn(receive, stop)
        status = 202 if turn.status == "running" else 200
        answer = Response(turn.to_json(), status, media_type="application/json")
        await answer(scope, receive, send)
