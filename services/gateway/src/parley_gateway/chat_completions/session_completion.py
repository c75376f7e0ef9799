"""Chat completion with a session: its new messages open a turn, whose reply is returned."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.auth.caller import Caller
from parley_core.http.errors import NotFound, ParleyError
from parley_gateway.chat_completions.chunks import CompletionChunks
from parley_gateway.chat_completions.errors import ReplyIncomplete, error_event
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.chat_completions.new_messages import new_texts
from parley_gateway.chat_completions.responses import to_completion
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.http.stream_limiter import Stop
from parley_gateway.turns.event_relay import TurnEventRelay
from parley_gateway.turns.json_response import TurnResponse, TurnStillRunning
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.sse_framing import MalformedEventStream


class SessionCompletion:
    def __init__(
        self, opener: TurnOpener, models: ModelDirectory, *, reply_timeout_seconds: float
    ) -> None:
        self._opener, self._models = opener, models
        self._reply_timeout_seconds = reply_timeout_seconds

    def to_command(
        self, request: CreateChatCompletion, parameters: dict[str, Any], *, attach: bool
    ) -> bytes:
        """The command for the session service. Raises InvalidRequest, TooLarge."""
        *preceding, content = new_texts(request.messages)
        command: dict[str, Any] = {"content": content, "model": request.model}
        if preceding:
            command["preceding"] = preceding
        if parameters:
            command["parameters"] = parameters
        if attach:
            command["attach"] = True
        return msgspec.json.encode(command)

    async def open(
        self,
        session_id: UUID,
        command: bytes,
        request: CreateChatCompletion,
        caller: Caller,
        key_headers: dict[str, str],
        scope: Scope,
    ) -> "OpenedCompletion":
        """Commits the command. Raises NotFound, before committing, for an unknown model."""
        await self._models.find(request.model, caller)
        events = await self._opener.open(
            session_id, "messages", command, caller, key_headers, scope
        )
        return OpenedCompletion(events, request, self._reply_timeout_seconds)


class OpenedCompletion:
    def __init__(
        self, events: TurnEventRelay, request: CreateChatCompletion, reply_timeout_seconds: float
    ) -> None:
        self._events, self._request = events, request
        self._reply_timeout_seconds = reply_timeout_seconds
        self._headers = {
            "parley-session-id": str(events.turn.session_id),
            "parley-turn-id": str(events.turn.id),
        }

    async def send_response(self, scope: Scope, receive: Receive, send: Send, stop: Stop) -> None:
        if self._request.stream:
            await self._stream(receive, send, stop)
            return
        try:
            response = await self._whole_response(receive, stop)
        except ParleyError as error:
            error.headers |= self._headers
            raise
        await response(scope, receive, send)

    async def _whole_response(self, receive: Receive, stop: Stop) -> Response:
        waiting = TurnResponse(
            self._events,
            reply_timeout_seconds=self._reply_timeout_seconds,
            # An automatic retry of an SDK attaches to the turn, even without a key.
            can_repeat=True,
        )
        turn = await waiting.wait_until_ended(receive, stop)
        if turn.status != "completed":
            raise ReplyIncomplete(turn.error)
        body = to_completion(turn, self._request.model).to_json()
        return Response(body, headers=self._headers, media_type="application/json")

    async def _stream(self, receive: Receive, send: Send, stop: Stop) -> None:
        response = SSEResponse(
            handed_over=self._events.handed_over,
            handover_timeout_seconds=self._events.handover_timeout_seconds,
        )
        await response.send_batches(
            self._chunks(),
            receive,
            send,
            stop,
            headers=self._headers,
            # OpenAI clients mistake a stream that just ends for a whole reply.
            last_event_when_stopping=lambda error: error_event(
                error or TurnStillRunning(can_repeat=True)
            ),
        )

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        options = self._request.stream_options
        with_usage = options is not None and bool(options.include_usage)
        chunks = CompletionChunks(self._events.turn, self._request.model, with_usage=with_usage)
        yield chunks.first()
        async with aclosing(self._events.read()) as batches:
            async for events in batches:
                try:
                    yield chunks.convert(events)
                except MalformedEventStream:
                    break
        if not chunks.ended:
            yield error_event(self._missing_end_error())

    def _missing_end_error(self) -> ParleyError:
        if self._events.session_erased:
            return NotFound("There is no such session.", code="session_not_found")
        return TurnStillRunning(can_repeat=True)
