"""A scripted OpenAI-compatible server."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from parley_testing.peers import listening

DONE = b"data: [DONE]\n\n"


def chunk(text: str | None = None, finish_reason: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def usage(prompt: int, completion: int) -> bytes:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion}
    return event({"choices": [], "usage": counted})


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def reply(*texts: str) -> list[Any]:
    """A complete reply, with one write per text."""
    return [*(chunk(text) for text in texts), chunk(None, "stop"), usage(7, len(texts)), DONE]


@dataclass(frozen=True)
class ErrorStatus:
    status: int
    body: str = '{"error": {"message": "quoting the prompt: secret words"}}'
    headers: dict[str, str] = field(default_factory=dict)


class Disconnects:
    """Aborts the connection."""


class Stalls:
    """Sends nothing more."""


class SendsOnlyComments:
    """Sends comments for ever."""


Step = bytes | asyncio.Event | ErrorStatus | Disconnects | Stalls | SendsOnlyComments


class ModelServer:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.open = 0
        self._connections: set[Any] = set()
        self._scripts: deque[list[Step]] = deque()

    def script(self, *steps: Step) -> None:
        """Add the script of a request; requests take the scripts in order."""
        self._scripts.append(list(steps))

    @property
    def connections(self) -> int:
        return len(self._connections)

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        server = cls()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server._complete)
        async with listening(app, handler_cancellation=True) as url:
            server.url = f"{url}/v1"
            yield server

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._connections.add(request.transport)
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        steps = self._scripts.popleft()
        if isinstance(steps[0], Disconnects):
            _abort(request)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if isinstance(steps[0], ErrorStatus):
            response = web.StreamResponse(status=steps[0].status, headers=steps[0].headers)
        self.open += 1
        try:
            await response.prepare(request)
            for step in steps:
                await self._do(step, request, response)
        finally:
            self.open -= 1
        return response

    async def _do(self, step: Step, request: web.Request, response: web.StreamResponse) -> None:
        match step:
            case bytes():
                await response.write(step)
            case asyncio.Event():
                await step.wait()
            case ErrorStatus():
                await response.write(step.body.encode())
            case Disconnects():
                _abort(request)
            case Stalls():
                await asyncio.Event().wait()
            case SendsOnlyComments():
                while True:
                    await response.write(b": processing\n\n")
                    await asyncio.sleep(0.01)


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
