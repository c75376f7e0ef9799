"""HTTP API of the demo model: the part of OpenAI's API that Parley uses, with its error bodies."""

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
MAX_BODY_BYTES = 4 * 1024 * 1024

TokenLimit = Annotated[int, msgspec.Meta(ge=1)]


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
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    n: Literal[1] | None = None


class InvalidRequest(HTTPException):
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

    async def chat_completions(request: Request) -> Response:
        body = _decode(await _read_body(request))
        limit = body.max_completion_tokens or body.max_tokens
        reply = reply_to([message.as_message() for message in body.messages], limit)
        identity = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }
        if not body.stream:
            return JSONResponse(_completion(identity, reply))
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        events = stream(_chunks(identity, reply, with_usage))
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
    return Starlette(routes=routes, exception_handlers={HTTPException: _error_response})


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


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        # Past the limit, read and discard: a client that is still sending would miss the response.
        body += chunk[: MAX_BODY_BYTES + 1 - len(body)]
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest(413, "The request body is larger than 4 MiB.")
    return bytes(body)


def _decode(body: bytes) -> ChatRequest:
    try:
        request = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(400, str(error), _param(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(400, "The request body is not valid JSON.") from error
    if request.stream_options and not request.stream:
        raise InvalidRequest(400, "`stream_options` requires `stream: true`.", "stream_options")
    return request


def _param(message: str) -> str | None:
    """The invalid field, such as `messages[0].role`, from the message of msgspec."""
    missing = re.search(r"required field `(\w+)`", message)
    path = re.search(r"at `\$\.?([^`]*)`", message)
    return ".".join(match[1] for match in (path, missing) if match and match[1]) or None


async def _error_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    param = error.param if isinstance(error, InvalidRequest) else None
    body = {"message": error.detail, "type": "invalid_request_error", "param": param, "code": None}
    return JSONResponse({"error": body}, error.status_code)
