"""An OpenAI-compatible model server that does what the message it is sent asks for.

A directive stands anywhere in the last message: `[refuse 429]`, `[refuse-once 503]`,
`[stall 0]`, `[die 3]`, `[garbage 0]`, `[gate 3]`, `[tokens 200]`, `[pace 60]`. The number is a
status, or how many tokens come before the trouble; the paced ones are counted (`paced_text`).
Without one the reply is `Answer to: ` and the message. `[call 7]` calls the first tool that it was
given, with that number.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from parley_cli.engines import free_port
from parley_testing.peers import listening

KEY = "sk-of-the-tests"
MODELS = MODEL, AWAY, UNSURE = "scripted", "away", "unsure"
# Millionths of a dollar for a million tokens.
PROMPT_PRICE, COMPLETION_PRICE = 150_000, 600_000
TOKEN = "tøken🎈 "  # Beyond ASCII, and one character beyond the basic plane.
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
UPSTREAM_SECRET = "what a model server says of a refusal"

_DIRECTIVE = re.compile(r"\[([a-z-]+) (\d+)\]")
_DRIP_SECONDS = 0.2
_PACE_SECONDS = 0.02
_DONE = b"data: [DONE]\n\n"


class ModelServer:
    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def settings(self) -> dict[str, str]:
        """The variables that point a stack at it."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": KEY, "PARLEY_MODEL": MODEL}

    def write_models(self, path: Path) -> dict[str, str]:
        """The variable that names a file of models, which this is to write: all are made here.

        `AWAY` is at a server that is not there, and `UNSURE` too but for a fallback.
        """
        price = {"currency": "USD", "prompt": PROMPT_PRICE, "completion": COMPLETION_PRICE}
        here = {"base_url": self.url, "key_variable": "OPENAI_API_KEY", "price": price}
        nowhere = {"base_url": f"http://127.0.0.1:{free_port()}/v1"}
        models: list[dict[str, Any]] = [
            {"name": MODEL} | here,
            {"name": AWAY} | nowhere,
            {"name": UNSURE, "fallbacks": [AWAY, MODEL]} | nowhere,
        ]
        sized = [model | {"context_size": 128_000} for model in models]
        path.write_text(json.dumps({"models": sized}))  # JSON is YAML.
        return {"PARLEY_MODELS": str(path)}

    def asked_with(self, text: str) -> list[list[dict[str, str]]]:
        """The messages of each request whose last one contains the text."""
        return [each["messages"] for each in self.asked if text in _last(each)]

    def open_gate(self, text: str) -> None:
        """Let the replies to messages that are this text go on."""
        self._gates[text].set()

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        server = cls()
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", server._complete)
        async with listening(app, handler_cancellation=True) as url:
            server.url = f"{url}/v1"
            yield server

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        self.authorizations.add(request.headers.get("authorization"))
        text = _last(asked)
        directive, number = _directive(text)
        if directive == "refuse-once" and len(self.asked_with(text)) == 1:
            directive = "refuse"
        if directive == "refuse":
            return web.json_response({"error": {"message": UPSTREAM_SECRET}}, status=number)
        if directive == "die" and number == 0:
            _cut(request)
        if not asked.get("stream"):
            return web.json_response(_whole(asked, text, directive, number))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await self._reply(request, response, text, directive, number)
        return response

    async def _reply(
        self,
        request: web.Request,
        response: web.StreamResponse,
        text: str,
        directive: str,
        number: int,
    ) -> None:
        if directive in ("stall", "die", "garbage", "gate", "tokens"):
            for _ in range(number):
                await response.write(_chunk(TOKEN))
        elif directive == "pace":
            for token in _paced(number):
                await response.write(_chunk(token))
                await asyncio.sleep(_PACE_SECONDS)
        elif directive == "call":
            for call in _called_in_pieces(await request.json(), number):
                await response.write(_chunk({"tool_calls": [call]}))
        else:
            await response.write(_chunk("Answer to: "))
            await response.write(_chunk(text))
        match directive:
            case "stall":
                await asyncio.Event().wait()
            case "die":
                _cut(request)
            case "garbage":
                await response.write(b"data: <html>this is no model server</html>\n\n")
                await asyncio.Event().wait()
            case "gate":
                await self._drip_until_opened(response, text)
                for _ in range(number):
                    await response.write(_chunk(TOKEN))
        finish_reason = "tool_calls" if directive == "call" else "stop"
        await response.write(_chunk(None, finish_reason) + _USAGE + _DONE)

    async def _drip_until_opened(self, response: web.StreamResponse, text: str) -> None:
        # As a model that thinks: something comes, so that nobody takes it for stalled.
        while not self._gates[text].is_set():
            await response.write(_chunk(""))
            try:
                async with asyncio.timeout(_DRIP_SECONDS):
                    await self._gates[text].wait()
            except TimeoutError:
                pass


def paced_text(tokens: int) -> str:
    """The reply to `[pace <tokens>]`: no part of it is like another."""
    return "".join(_paced(tokens))


def _paced(tokens: int) -> Iterator[str]:
    return (f"{number}🎈 " for number in range(tokens))


def _last(asked: dict[str, Any]) -> str:
    return str(asked["messages"][-1]["content"])


def _directive(text: str) -> tuple[str, int]:
    found = _DIRECTIVE.search(text)
    return (found[1], int(found[2])) if found else ("", 0)


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


def _chunk(delta: str | dict[str, Any] | None, finish_reason: str | None = None) -> bytes:
    """A piece of text, or of whatever else a message has."""
    if not isinstance(delta, dict):
        delta = {} if delta is None else {"content": delta}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def _whole(asked: dict[str, Any], text: str, directive: str, number: int) -> dict[str, Any]:
    """The answer to a request that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": f"Answer to: {text}"}
    if directive == "tokens":
        message["content"] = number * TOKEN
    if directive == "call":
        message = {"role": "assistant", "content": None, "tool_calls": [_called(asked, number)]}
    finish_reason = "tool_calls" if directive == "call" else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": USAGE}


def _called(asked: dict[str, Any], number: int) -> dict[str, Any]:
    function = {
        "name": asked["tools"][0]["function"]["name"],
        "arguments": json.dumps({"number": number}),
    }
    return {"id": f"call_{number}", "type": "function", "function": function}


def _called_in_pieces(asked: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    call = _called(asked, number)
    arguments = call["function"]["arguments"]
    yield {"index": 0, **call, "function": {**call["function"], "arguments": arguments[:4]}}
    yield {"index": 0, "function": {"arguments": arguments[4:]}}


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


_USAGE = _event({"choices": [], "usage": USAGE})
