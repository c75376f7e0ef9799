"""Chat completion without a session: relayed from inference and stored nowhere."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from uuid import UUID

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_contracts.inference_api import COMPLETION_ID_HEADER
from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.request_lifetime import RequestLifetime, no_handover
from parley_core.http.service_client import ServiceClient
from parley_core.streaming.sse import SSEEventTooLarge, SSEFramer
from parley_gateway.chat_completions.errors import error_event
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.http.stream_limiter import Stop, shutting_down

_PATH = "/completions"
MAX_EVENT_BYTES = 4 * 1024 * 1024


class CompletionTimedOut(ParleyError):
    """A client that retried would wait as long again, and the model server would work again."""

    status, type, code = 504, "server_error", "upstream_timeout"

    def __init__(self) -> None:
        super().__init__(
            "The model server has not replied in time.", headers={"x-should-retry": "false"}
        )


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """`id` is that for which a budget was reserved."""

    body: bytes
    stream: bool
    id: UUID | None

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.id is None else {COMPLETION_ID_HEADER: str(self.id)}


class StatelessCompletion:
    """A client that disconnects ends the completion."""

    def __init__(self, inference: ServiceClient, *, reply_timeout_seconds: float) -> None:
        self._inference, self._reply_timeout_seconds = inference, reply_timeout_seconds

    async def send_response(
        self,
        call: CompletionCall,
        caller: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
        stop: Stop,
    ) -> None:
        if not call.stream:
            response = await self._whole_response(call, caller, receive, stop)
            await response(scope, receive, send)
            return
        events = SSEResponse(handed_over=no_handover(), handover_timeout_seconds=0)
        await events.send_batches(
            self._events(call, caller),
            receive,
            send,
            stop,
            last_event_when_stopping=lambda error: error_event(error or shutting_down()),
        )

    async def _whole_response(
        self, call: CompletionCall, caller: Caller, receive: Receive, stop: Stop
    ) -> Response:
        request = self._inference.call(
            "POST",
            _PATH,
            principal=caller.principal,
            request_id=caller.request_id,
            body=call.body,
            headers=call.headers,
            # Not reached: the time limit below says what happened.
            timeout=2 * self._reply_timeout_seconds,
        )
        calling = asyncio.create_task(request)
        reason = await RequestLifetime(receive, stop, no_handover()).supervise(
            calling, timeout=self._reply_timeout_seconds, handover_timeout=0
        )
        if reason == "timed_out":
            raise CompletionTimedOut
        if reason == "stopping" and (error := stop.result()) is not None:
            raise error
        if reason != "done":
            raise shutting_down()  # Or the client has disconnected, and nobody reads this.
        return Response(calling.result().body, media_type="application/json")

    async def _events(self, call: CompletionCall, caller: Caller) -> AsyncGenerator[bytes, None]:
        async with self._inference.stream(
            "POST",
            _PATH,
            principal=caller.principal,
            request_id=caller.request_id,
            body=call.body,
            headers=call.headers,
            idle_timeout=self._reply_timeout_seconds,
        ) as upstream:
            yield b""
            framer = SSEFramer(MAX_EVENT_BYTES)
            try:
                while received := await upstream.readany():
                    yield framer.feed(received)
            except (aiohttp.ClientError, TimeoutError, OSError, SSEEventTooLarge):
                yield error_event(_interrupted())


def _interrupted() -> ParleyError:
    return Unavailable(
        "The inference service was interrupted. Please retry.", code="inference_unavailable"
    )
