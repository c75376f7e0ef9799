"""Outcome of a reply: completed or failed, with its token usage and price."""

from dataclasses import dataclass

from parley_contracts.api_models import FinishReason
from parley_core.token_estimate import estimate_tokens
from parley_events.values import Price, Usage
from parley_inference.models.failures import FailureCode
from parley_inference.models.wire.chunk_parser import TokenCounts


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole reply; `model` is set only when a fallback generated it."""

    content: str
    finish_reason: FinishReason
    first_token_ms: int
    total_ms: int
    usage: Usage
    price: Price | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed reply; `usage` is None when the model server did nothing chargeable.

    `message` is the sentence for clients, where it says more than that of the code.
    """

    code: FailureCode
    partial_content: str | None = None
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None
    message: str | None = None


ReplyOutcome = Completed | Failed


def usage_from(tokens: TokenCounts | None, *, prompt_tokens: int, reply_bytes: int) -> Usage:
    """Return the model server's token counts, or else an estimate."""
    if tokens is not None:
        return Usage(prompt_tokens=tokens.prompt, completion_tokens=tokens.completion)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=estimate_tokens(reply_bytes),
        estimated=True,
    )
