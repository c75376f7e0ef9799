"""The demo model's HTTP side: the part of OpenAI's API that Parley uses, with its error bodies."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from parley_cli.demo_model.replies import Message, Reply, reply_to

MODEL = "parley-demo"
LONGEST_BODY = 4 * 1024 * 1024

Tokens = Annotated[int, msgspec.Meta(ge=1)]


class TextPart(msgspec.Struct):
    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    def as_message(self) -> Message:
        if isinstance(self.content, list):
            return Message(self.role, "\n".join(part.text for part in self.content))
        return Message(self.role, self.content or "")


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class ChatRequest(msgspec.Struct):
    model: str
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Literal[1] | None = None


class Refused(HTTPException):
    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(status, message)
        self.param = param


def create_app(delay_seconds: float) -> Starlette:
    open_streams: set[str] = set()

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "open_streams": len(open_streams)})

    async def models(_: Request) -> Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "parley"}
        return JSONResponse({"object": "list", "data": [model]})

    async def chat_completions(http: Request) -> Response:
        asked = _decoded(await _body(http))
        limit = asked.max_completion_tokens or asked.max_tokens
        reply = reply_to([message.as_message() for message in asked.messages], limit)
        name, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        started = {"id": name, "created": created, "model": asked.model}
        if not asked.stream:
            return JSONResponse(_completion(started, reply))
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        events = stream(_chunks(started, reply, with_usage))
        return StreamingResponse(events, media_type="text/event-stream")

    async def stream(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
        open_streams.add(chunks[0]["id"])
        try:
            for chunk in chunks:
                yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
                await asyncio.sleep(delay_seconds)
            yield b"data: [DONE]\n\n"
        finally:
            open_streams.discard(chunks[0]["id"])

    routes = [
        Route("/healthz", health),
        Route("/v1/models", models),
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused})


def _completion(identity: dict[str, Any], reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return identity | {"object": "chat.completion", "choices": [choice], "usage": reply.usage}


def _chunks(identity: dict[str, Any], reply: Reply, with_usage: bool) -> list[dict[str, Any]]:
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in reply.pieces]
    deltas += [({}, reply.finish_reason)]
    base = identity | {"object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})
    choices = [{"index": 0, "delta": delta, "finish_reason": end} for delta, end in deltas]
    chunks = [base | {"choices": [choice]} for choice in choices]
    return [*chunks, base | {"choices": [], "usage": reply.usage}] if with_usage else chunks


async def _body(http: Request) -> bytes:
    body = bytearray()
    async for chunk in http.stream():
        # Read on past the limit, keeping nothing: a client still sending would miss the answer.
        body += chunk[: LONGEST_BODY + 1 - len(body)]
    if len(body) > LONGEST_BODY:
        raise Refused(413, "The request body is over 4 MiB.")
    return bytes(body)


def _decoded(body: bytes) -> ChatRequest:
    try:
        asked = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        raise Refused(400, str(error), _param(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "The request body is not valid JSON.") from error
    if asked.stream_options and not asked.stream:
        raise Refused(400, "`stream_options` needs `stream: true`.", "stream_options")
    return asked


def _param(message: str) -> str | None:
    """The field at fault, such as `messages[0].role`, from msgspec's sentence about it."""
    missing = re.search(r"required field `(\w+)`", message)
    place = re.search(r"at `\$\.?([^`]*)`", message)
    return ".".join(found[1] for found in (place, missing) if found and found[1]) or None


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    param = error.param if isinstance(error, Refused) else None
    body = {"message": error.detail, "type": "invalid_request_error", "param": param, "code": None}
    return JSONResponse({"error": body}, error.status_code)
