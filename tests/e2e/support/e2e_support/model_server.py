"""An OpenAI-compatible model server, scripted by directives in the last message of a request.

`[refuse 429]` and `[refuse-once 503]` answer with that status, `[overflow 400]` with the error of a
prompt that exceeds the context. `[stall 0]`, `[die 3]` (connection
reset) and `[garbage 0]` fail after that number of tokens; `[gate 3]` pauses there until
`open_gate`. `[tokens 200]` streams that many tokens; `[pace 60]` slowly, and numbered
(`paced_text`). `[call 7]` calls the first tool of the request with that number. `[refusal 1]`,
`[reasoning 1]` and `[tool 1]` stream only a refusal, reasoning, or a call of a tool that the
request does not have; `[done 0]` ends at once. `[usage 5]` reports that number as both token
counts. Without a directive the reply is `Answer to: ` and the message.
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

API_KEY = "sk-of-the-tests"
MODELS = MODEL, UNREACHABLE, WITH_FALLBACK = "scripted", "unreachable", "with-fallback"
# Micro-dollars per million tokens.
PROMPT_PRICE, COMPLETION_PRICE = 150_000, 600_000
REFUSAL = "I cannot help with that."
TOKEN = "tøken🎈 "  # Beyond ASCII, with one character beyond the Basic Multilingual Plane.
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
UPSTREAM_ERROR_TEXT = "the text of an upstream error"

_ERRORS = {
    "refuse": {"message": UPSTREAM_ERROR_TEXT},
    "overflow": {
        "message": f"{UPSTREAM_ERROR_TEXT}: this model's maximum context length is 8192 tokens",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    },
}
_DIRECTIVE = re.compile(r"\[([a-z-]+) (\d+)\]")
_EMPTY_CHUNK_SECONDS = 0.2
_PACE_SECONDS = 0.02
_DONE = b"data: [DONE]\n\n"


class ModelServer:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self._authorizations: list[str | None] = []
        self._gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a stack that uses this server."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": API_KEY, "PARLEY_MODEL": MODEL}

    def write_models(self, path: Path) -> dict[str, str]:
        """Write a models file to `path`; return the setting that selects it.

        No server listens for `UNREACHABLE` and `WITH_FALLBACK`; the latter falls back to `MODEL`.
        """
        price = {"currency": "USD", "prompt": PROMPT_PRICE, "completion": COMPLETION_PRICE}
        here = {"base_url": self.url, "key_variable": "OPENAI_API_KEY", "price": price}
        nowhere = {"base_url": f"http://127.0.0.1:{free_port()}/v1"}
        models: list[dict[str, Any]] = [
            {"name": MODEL} | here,
            {"name": UNREACHABLE} | nowhere,
            {"name": WITH_FALLBACK, "fallbacks": [UNREACHABLE, MODEL]} | nowhere,
        ]
        sized = [model | {"context_size": 128_000} for model in models]
        path.write_text(json.dumps({"models": sized}))  # JSON is YAML.
        return {"PARLEY_MODELS": str(path)}

    def prompts_with(self, text: str) -> list[list[dict[str, str]]]:
        """The messages of each request whose last message contains the text."""
        return [each["messages"] for each in self.requests if text in _last_message(each)]

    def authorizations_with(self, text: str) -> list[str | None]:
        """The Authorization header of each of these requests."""
        each = zip(self.requests, self._authorizations, strict=True)
        return [value for request, value in each if text in _last_message(request)]

    def open_gate(self, text: str) -> None:
        """Continue the replies to this message, which wait at their `[gate]`."""
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
        body = await request.json()
        self.requests.append(body)
        self._authorizations.append(request.headers.get("authorization"))
        text = _last_message(body)
        directive, number = _directive(text)
        if directive == "refuse-once" and len(self.prompts_with(text)) == 1:
            directive = "refuse"
        if directive in ("refuse", "overflow"):
            return web.json_response({"error": _ERRORS[directive]}, status=number)
        if directive == "die" and number == 0:
            _reset_connection(request)
        if not body.get("stream"):
            return web.json_response(_completion(body, text, directive, number))
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
        elif directive in _TEXTLESS:
            await response.write(_chunk(_TEXTLESS[directive]))
        elif directive == "done":
            await response.write(_DONE)
            return
        elif directive == "call":
            for call in _tool_call_chunks(await request.json(), number):
                await response.write(_chunk({"tool_calls": [call]}))
        else:
            await response.write(_chunk("Answer to: "))
            await response.write(_chunk(text))
        match directive:
            case "stall":
                await asyncio.Event().wait()
            case "die":
                _reset_connection(request)
            case "garbage":
                await response.write(b"data: <html>not a completion</html>\n\n")
                await asyncio.Event().wait()
            case "gate":
                await self._wait_at_gate(response, text)
                for _ in range(number):
                    await response.write(_chunk(TOKEN))
        finish_reason = "tool_calls" if directive == "call" else "stop"
        used = _usage(number, number) if directive == "usage" else _USAGE
        await response.write(_chunk(None, finish_reason) + used + _DONE)

    async def _wait_at_gate(self, response: web.StreamResponse, text: str) -> None:
        # Empty chunks, so that the model server is not considered stalled.
        while not self._gates[text].is_set():
            await response.write(_chunk(""))
            try:
                async with asyncio.timeout(_EMPTY_CHUNK_SECONDS):
                    await self._gates[text].wait()
            except TimeoutError:
                pass


def paced_text(tokens: int) -> str:
    """The reply to `[pace <tokens>]`; its tokens are all different."""
    return "".join(_paced(tokens))


def _paced(tokens: int) -> Iterator[str]:
    return (f"{number}🎈 " for number in range(tokens))


def _last_message(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def _directive(text: str) -> tuple[str, int]:
    found = _DIRECTIVE.search(text)
    return (found[1], int(found[2])) if found else ("", 0)


def _reset_connection(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


def _chunk(delta: str | dict[str, Any] | None, finish_reason: str | None = None) -> bytes:
    """A chunk with text, or with other fields of a message."""
    if not isinstance(delta, dict):
        delta = {} if delta is None else {"content": delta}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def _completion(body: dict[str, Any], text: str, directive: str, number: int) -> dict[str, Any]:
    """The response to a request without streaming."""
    message: dict[str, Any] = {"role": "assistant", "content": f"Answer to: {text}"}
    if directive == "tokens":
        message["content"] = number * TOKEN
    if directive == "call":
        message = {"role": "assistant", "content": None, "tool_calls": [_tool_call(body, number)]}
    finish_reason = "tool_calls" if directive == "call" else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": USAGE}


def _tool_call(body: dict[str, Any], number: int) -> dict[str, Any]:
    function = {
        "name": body["tools"][0]["function"]["name"],
        "arguments": json.dumps({"number": number}),
    }
    return {"id": f"call_{number}", "type": "function", "function": function}


def _tool_call_chunks(body: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    call = _tool_call(body, number)
    arguments = call["function"]["arguments"]
    yield {"index": 0, **call, "function": {**call["function"], "arguments": arguments[:4]}}
    yield {"index": 0, "function": {"arguments": arguments[4:]}}


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _usage(prompt: int, completion: int) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return _event({"choices": [], "usage": counts})


_TEXTLESS: dict[str, dict[str, Any]] = {
    "refusal": {"refusal": REFUSAL},
    "reasoning": {"reasoning_content": "Let me think."},
    "tool": {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]},
}
_USAGE = _event({"choices": [], "usage": USAGE})
