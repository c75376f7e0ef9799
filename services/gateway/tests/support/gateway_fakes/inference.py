"""Fake inference service that streams a script for each request."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from parley_contracts import turn_sse as sse
from parley_testing.fake_service import Call, FakeService


class Disconnects:
    """Cuts the connection."""


class Ends:
    """Ends the response without an end of the turn."""


class Stalls:
    """Sends nothing more."""


Step = bytes | Callable[[], bytes] | asyncio.Event | web.Response | Disconnects | Ends | Stalls


class Inference(FakeService):
    name = "inference"

    def __init__(self) -> None:
        super().__init__()
        self.scripts: deque[list[Step]] = deque()
        self.open = 0
        self.written = 0
        self.models = [model("parley-demo"), model("meta/llama")]
        self.stuck: asyncio.Event | None = None
        """Requests are held until it is set."""

    def script(self, *steps: Step) -> None:
        """The steps of the response to the next request without a script."""
        self.scripts.append(list(steps))

    @property
    def resume_points(self) -> list[int | None]:
        """The event id after which each stream was requested."""
        return [call.body["after"] for call in self.calls if call.path.endswith("/stream")]

    async def handle(self, request: web.Request, call: Call) -> web.StreamResponse:
        if self.stuck is not None:
            await self.stuck.wait()
        if call.path == "/models":
            return web.json_response({"object": "list", "data": self.models})
        steps = self.scripts.popleft() if self.scripts else [Disconnects()]
        if isinstance(steps[0], web.Response):
            return steps[0]
        if isinstance(steps[0], Disconnects):
            assert request.transport is not None
            request.transport.abort()
        response = web.StreamResponse(headers=sse.HEADERS)
        self.open += 1
        try:
            await response.prepare(request)
            for step in steps:
                if isinstance(step, Ends):
                    break
                await self._do(step, request, response)
        finally:
            self.open -= 1
        return response

    async def _do(self, step: Step, request: web.Request, response: web.StreamResponse) -> None:
        match step:
            case bytes():
                await response.write(step)
                self.written += len(step)
            case asyncio.Event():
                await step.wait()
            case Disconnects():
                assert request.transport is not None
                request.transport.abort()
            case Stalls():
                await asyncio.Event().wait()
            case web.Response() | Ends():
                raise AssertionError("A response is the first step, and `Ends` ends the script.")
            case _:
                await response.write(step())


def model(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "parley",
        "context_size": 1_000,
    }


def deltas(*texts: str, after: int = 0) -> bytes:
    """One event per text, starting after the event id `after`."""
    events = []
    for text in texts:
        after += len(text)
        events.append(sse.delta(text, after))
    return b"".join(events)
