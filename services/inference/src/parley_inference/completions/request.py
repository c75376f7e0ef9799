"""What is asked of a model without a conversation, as the gateway has checked it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from parley_core.http.errors import InvalidRequest
from parley_inference.completions.event_rewriter import with_fields
from parley_inference.models.model_catalogue import Model
from parley_inference.models.outcome import estimate


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Asked(msgspec.Struct):
    model: str
    messages: list[dict[str, Any]]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """`prompt_tokens` are estimated; `with_usage` says that a stream is to tell its usage."""

    body: bytes
    model: str
    stream: bool
    with_usage: bool
    choices: int
    prompt_tokens: int
    most_tokens: int | None

    def for_server(self, model: Model) -> bytes:
        """What the server of the model is sent; usage is always asked for."""
        fields: dict[str, Any] = {"model": model.upstream_name, "stream": self.stream}
        if self.stream:
            fields["stream_options"] = {"include_usage": True}
        limit = model.reply_tokens
        if limit is None or (self.most_tokens is not None and self.most_tokens <= limit):
            return with_fields(self.body, fields)
        fields["max_completion_tokens"] = limit
        return with_fields(self.body, fields, drop=("max_tokens",))


def read_request(body: bytes) -> CompletionRequest:
    """Raises InvalidRequest."""
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except ValueError:
        raise InvalidRequest(
            "The body should be a chat completion request with model and messages."
        ) from None
    size = sum(_size(message.get("content")) for message in asked.messages)
    options = asked.stream_options
    return CompletionRequest(
        body,
        asked.model,
        bool(asked.stream),
        bool(options and options.include_usage),
        asked.n or 1,
        estimate(size + len(bytes(asked.tools))),
        asked.max_completion_tokens or asked.max_tokens,
    )


def _size(content: Any) -> int:
    """Bytes of the text in a message; an image has other tokens than its bytes."""
    if isinstance(content, str):
        return len(content.encode())
    if isinstance(content, list):
        return sum(_size(part.get("text")) for part in content if isinstance(part, dict))
    return 0
