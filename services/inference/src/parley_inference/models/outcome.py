"""How a reply ended, as this process tells it to session."""

from dataclasses import dataclass

from parley_contracts.api_models import FinishReason
from parley_events.values import Price, Usage
from parley_inference.models.failures import FailureCode
from parley_inference.models.wire.chunk_parser import TokenCounts

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Completed:
    """`model` names the one that answered where it was a fallback."""

    content: str
    finish_reason: FinishReason
    first_token_ms: int
    total_ms: int
    usage: Usage
    price: Price | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """`usage` is None when the model server did nothing that it could charge for."""

    code: FailureCode
    partial_content: str | None = None
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None


Ending = Completed | Failed


def usage_of(tokens: TokenCounts | None, *, prompt_tokens: int, reply_bytes: int) -> Usage:
    """What the model server counted, or else an estimate."""
    if tokens is not None:
        return Usage(prompt_tokens=tokens.prompt, completion_tokens=tokens.completion)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=estimate(reply_bytes),
        estimated=True,
    )


def estimate(text_bytes: int) -> int:
    """The tokens of a text that nobody counted: one for each four bytes of UTF-8."""
    return -(-text_bytes // _BYTES_PER_TOKEN)
