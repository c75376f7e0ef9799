"""A chat completion without a session: relayed from inference as it comes, and kept nowhere."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import ParleyError, Unavailable
from parley_gateway.auth.authenticator import Caller
from parley_gateway.chat_completions.errors import error_event
from parley_gateway.chat_completions.parameter_support import to_upstream_parameters
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.http.request_lifetime import RequestLifetime, no_handover
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.parts import Parts
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.sse_framing import MalformedEventStream, SSEFrameBuffer

_PATH = "/completions"
# Of what a process that stops has: time to tell its clients, who cannot go on elsewhere.
_SAYING_SO_SECONDS = 1


class StatelessCompletion:
    """A client that leaves ends it."""

    def __init__(self, parts: Parts, limits: TurnLimits, drain_seconds: float) -> None:
        self._parts, self._limits = parts, limits
        self._drain_seconds = max(0, drain_seconds - _SAYING_SO_SECONDS)

    async def answer(
        self,
        asked: CreateChatCompletion,
        asker: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
        stop: asyncio.Future[None],
    ) -> None:
        body, stop = to_upstream_parameters(asked), _later(stop, self._drain_seconds)
        if not asked.stream:
            answer = await self._whole(body, asker, receive, stop)
            await answer(scope, receive, send)
            return
        stream = SSEResponse(self._limits.heartbeat, 0, no_handover())
        await stream.answer(
            self._events(body, asker),
            receive,
            send,
            stop,
            when_stopping=lambda: error_event(_stopping()),
        )

    async def _whole(
        self, body: bytes, asker: Caller, receive: Receive, stop: asyncio.Future[None]
    ) -> Response:
        call = self._parts.peers.inference.call(
            "POST",
            _PATH,
            principal=asker.principal,
            request_id=asker.request_id,
            body=body,
            timeout=self._limits.reply,
        )
        calling = asyncio.create_task(call)
        ending = await RequestLifetime(receive, stop, no_handover()).during(
            calling, hand_over_within=0
        )
        if ending != "done":
            raise _stopping()  # Or nobody reads it.
        return Response(calling.result().body, media_type="application/json")

    async def _events(self, body: bytes, asker: Caller) -> AsyncGenerator[bytes, None]:
        async with self._parts.peers.inference.stream(
            "POST",
            _PATH,
            principal=asker.principal,
            request_id=asker.request_id,
            body=body,
            idle_timeout=self._limits.reply,
        ) as upstream:
            yield b""
            whole = SSEFrameBuffer(self._limits.relay.event_bytes)
            try:
                while received := await upstream.readany():
                    yield whole.feed(received)
            except (aiohttp.ClientError, TimeoutError, OSError, MalformedEventStream):
                yield error_event(_broken())


def _later(stop: asyncio.Future[None], seconds: float) -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    later = loop.create_future()

    def end() -> None:
        if not later.done():
            later.set_result(None)

    stop.add_done_callback(lambda _: loop.call_later(seconds, end))
    return later


def _stopping() -> ParleyError:
    return Unavailable("This gateway stops; ask again.", code="gateway_busy")


def _broken() -> ParleyError:
    return Unavailable("The inference service broke off; ask again.", code="inference_unavailable")
