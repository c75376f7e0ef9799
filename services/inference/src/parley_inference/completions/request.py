"""A chat completion request, already validated by the gateway."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec

from parley_core.http.errors import InvalidRequest
from parley_core.token_estimate import content_bytes, estimate_tokens
from parley_inference.completions.event_rewriter import replace_fields
from parley_inference.models.model_catalogue import Model


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
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
    """`prompt_tokens` is an estimate; `with_usage`: the client wants usage in the stream.

    `is_reserved`: session has reserved a budget for the `id`.
    """

    id: UUID
    is_reserved: bool
    body: bytes
    model: str
    stream: bool
    with_usage: bool
    choices: int
    prompt_tokens: int
    max_tokens: int | None

    def upstream_body(self, model: Model) -> bytes:
        """Return the body for the model's server, which always requests usage."""
        fields: dict[str, Any] = {"model": model.upstream_name, "stream": self.stream}
        if self.stream:
            fields["stream_options"] = {"include_usage": True}
        limit = model.reply_tokens
        if limit is None or (self.max_tokens is not None and self.max_tokens <= limit):
            return replace_fields(self.body, fields)
        fields["max_completion_tokens"] = limit
        return replace_fields(self.body, fields, drop=("max_tokens",))


def parse_completion_request(body: bytes, id: str | None = None) -> CompletionRequest:
    """`id` is that for which session has reserved a budget. Raises InvalidRequest."""
    try:
        parsed = msgspec.json.decode(body, type=_Body)
    except ValueError:
        raise InvalidRequest(
            "The body should be a chat completion request with model and messages."
        ) from None
    prompt_bytes = sum(content_bytes(message.get("content")) for message in parsed.messages)
    options = parsed.stream_options
    return CompletionRequest(
        _id(id),
        id is not None,
        body,
        parsed.model,
        bool(parsed.stream),
        bool(options and options.include_usage),
        parsed.n or 1,
        estimate_tokens(prompt_bytes + len(bytes(parsed.tools))),
        # The model server may use either one.
        max(parsed.max_completion_tokens or 0, parsed.max_tokens or 0) or None,
    )


def _id(text: str | None) -> UUID:
    try:
        return uuid4() if text is None else UUID(text)
    except ValueError:
        raise InvalidRequest("The id of the completion should be a UUID.") from None
