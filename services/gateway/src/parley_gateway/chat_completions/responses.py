"""Response models of chat completions, in OpenAI's shape.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Literal
from uuid import UUID

from parley_contracts.api_models import Shape, Turn, UsageShape


class CompletionUsage(Shape):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionReply(Shape):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


class CompletionChoice(Shape):
    index: int = 0
    message: CompletionReply
    logprobs: None = None
    finish_reason: str


class ChatCompletion(Shape):
    """Without a session: the model server's response, except for `id` and `model`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None


class ChunkDelta(Shape):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Shape):
    index: int
    delta: ChunkDelta
    finish_reason: str | None


class ChatCompletionChunk(Shape):
    """`[DONE]` follows the last chunk. The chunk with the usage has no choices. Without a session,
    fields of the model server are added, such as tool calls.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None


def completion_id(turn_id: UUID) -> str:
    return f"chatcmpl-{turn_id.hex}"


def openai_finish_reason(reason: str | None) -> str:
    """The finish reason in OpenAI's terms, which has none for a refusal."""
    return "stop" if reason in (None, "refusal") else str(reason)


def created_at(turn: Turn) -> int:
    """When the turn was opened, as Unix time in seconds."""
    return int(turn.message.created_at.timestamp())


def to_completion(turn: Turn, model: str) -> ChatCompletion:
    """The completion of a completed turn; `model` is the fallback for a reply without one."""
    reply = turn.reply
    assert reply is not None
    choice = CompletionChoice(
        message=CompletionReply(content=reply.content),
        finish_reason=openai_finish_reason(reply.finish_reason),
    )
    return ChatCompletion(
        id=completion_id(turn.id),
        created=created_at(turn),
        model=reply.model or model,
        choices=[choice],
        usage=_usage(reply.usage),
    )


def _usage(usage: UsageShape | None) -> CompletionUsage | None:
    if usage is None:
        return None
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )
