"""A chat completion of a session: its new messages open a turn, and the reply answers it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley_core.http.errors import NotFound, ParleyError
from parley_gateway.auth.authenticator import Caller
from parley_gateway.chat_completions.chunks import CompletionChunks
from parley_gateway.chat_completions.errors import ReplyIncomplete, error_event
from parley_gateway.chat_completions.model_directory import ModelDirectory
from parley_gateway.chat_completions.new_messages import new_texts
from parley_gateway.chat_completions.responses import completion_of
from parley_gateway.chat_completions.schemas import CreateChatCompletion
from parley_gateway.http.sse_response import SSEResponse
from parley_gateway.turns.event_relay import TurnEventRelay
from parley_gateway.turns.json_response import TurnResponse, TurnStillRunning
from parley_gateway.turns.limits import TurnLimits
from parley_gateway.turns.open_turn import TurnOpener
from parley_gateway.turns.sse_framing import MalformedEventStream


class SessionCompletion:
    def __init__(self, opening: TurnOpener, models: ModelDirectory, limits: TurnLimits) -> None:
        self._opening, self._models, self._limits = opening, models, limits

    def command(self, asked: CreateChatCompletion, *, attach: bool) -> bytes:
        """What session is told. Raises InvalidRequest, TooLarge."""
        *preceding, content = new_texts(asked.messages)
        command: dict[str, Any] = {"content": content, "model": asked.model}
        if preceding:
            command["preceding"] = preceding
        if attach:
            command["attach"] = True
        return msgspec.json.encode(command)

    async def opened(
        self,
        session_id: UUID,
        command: bytes,
        asked: CreateChatCompletion,
        asker: Caller,
        key: dict[str, str],
    ) -> "OpenedCompletion":
        """Committed. Raises NotFound when there is no such model, and then nothing was."""
        await self._models.find(asked.model, asker)
        events = await self._opening.turn(session_id, "messages", command, asker, key)
        return OpenedCompletion(events, asked, self._limits)


class OpenedCompletion:
    def __init__(
        self, events: TurnEventRelay, asked: CreateChatCompletion, limits: TurnLimits
    ) -> None:
        self._events, self._asked, self._limits = events, asked, limits
        self._headers = {
            "parley-session-id": str(events.turn.session_id),
            "parley-turn-id": str(events.turn.id),
        }

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, stop: asyncio.Future[None]
    ) -> None:
        if self._asked.stream:
            await self._stream(receive, send, stop)
            return
        try:
            answer = await self._whole(receive, stop)
        except ParleyError as error:
            error.headers |= self._headers
            raise
        await answer(scope, receive, send)

    async def _whole(self, receive: Receive, stop: asyncio.Future[None]) -> Response:
        waiting = TurnResponse(
            self._events,
            reply_seconds=self._limits.reply,
            hand_over_seconds=self._limits.relay.reattach,
            # An SDK that asks again of itself attaches to the turn, also without a key.
            can_repeat=True,
        )
        turn = await waiting.turn(receive, stop)
        if turn.status != "completed":
            raise ReplyIncomplete(turn.error)
        body = completion_of(turn, self._asked.model).to_json()
        return Response(body, headers=self._headers, media_type="application/json")

    async def _stream(self, receive: Receive, send: Send, stop: asyncio.Future[None]) -> None:
        limits = self._limits
        answer = SSEResponse(limits.heartbeat, limits.relay.reattach, self._events.handed_over)
        await answer.answer(
            self._chunks(),
            receive,
            send,
            stop,
            headers=self._headers,
            # To these clients a stream that just ends is a whole reply.
            when_stopping=lambda: error_event(TurnStillRunning(can_repeat=True)),
        )

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        options = self._asked.stream_options
        with_usage = options is not None and bool(options.include_usage)
        chunks = CompletionChunks(self._events.turn, self._asked.model, with_usage=with_usage)
        yield chunks.first()
        async with aclosing(self._events.read()) as batches:
            async for events in batches:
                try:
                    yield chunks.of(events)
                except MalformedEventStream:
                    break
        if not chunks.ended:
            yield error_event(self._without_an_end())

    def _without_an_end(self) -> ParleyError:
        if self._events.gone:
            return NotFound("There is no such session.", code="session_not_found")
        return TurnStillRunning(can_repeat=True)
