"""Requests and responses of the session API: building, decoding, and checks beyond their types."""

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import msgspec

from parley_contracts.api_models import Turn
from parley_contracts.session_api.requests import ModelPrice, TokenUsage
from parley_contracts.session_api.turns import (
    ClaimTurnResponse,
    CompleteTurnRequest,
    EndTurnRequest,
    FailTurnRequest,
    TurnInput,
)
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import Unavailable
from parley_inference.models.failures import MESSAGES
from parley_inference.models.outcome import Completed, Failed, ReplyOutcome

Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Claim:
    """`input` is None when the turn has ended or is another's; `key` seals its stream."""

    turn: Turn
    input: TurnInput | None
    key: DataKey | None


class InvalidResponse(Unavailable):
    """The session service answered with a body that does not follow its contract."""

    def __init__(self) -> None:
        super().__init__(
            "The session service returned an invalid response. Please retry.",
            code="session_unavailable",
        )


def end_turn_request(runner_id: UUID, outcome: ReplyOutcome) -> tuple[str, EndTurnRequest]:
    """Return the last segment of the path that ends the turn, and the body."""
    usage, price = TokenUsage.of(outcome.usage), ModelPrice.of(outcome.price)
    match outcome:
        case Completed():
            return "complete", CompleteTurnRequest(
                runner=runner_id,
                model=outcome.model,
                usage=usage,
                price=price,
                content=outcome.content,
                finish_reason=outcome.finish_reason,
                first_token_ms=outcome.first_token_ms,
                total_ms=outcome.total_ms,
            )
        case Failed():
            return "fail", FailTurnRequest(
                runner=runner_id,
                model=outcome.model,
                usage=usage,
                price=price,
                code=outcome.code,
                details=outcome.message or MESSAGES[outcome.code],
                partial_content=outcome.partial_content,
            )


def decode(body: bytes, body_type: type[Body]) -> Body:
    """Raises InvalidResponse."""
    try:
        return msgspec.json.decode(body, type=body_type)
    except ValueError:
        raise InvalidResponse from None


def decode_claim(body: bytes) -> Claim:
    """Raises InvalidResponse."""
    response = decode(body, ClaimTurnResponse)
    turn_input = response.run if response.claimed else None
    return Claim(decode_turn(response.turn), turn_input, _data_key(response.key))


def decode_turn(body: bytes | msgspec.Raw) -> Turn:
    """Raises InvalidResponse."""
    try:
        turn = Turn.model_validate_json(bytes(body))
    except ValueError:
        raise InvalidResponse from None
    if turn.status != "running" and turn.reply is None:
        raise InvalidResponse
    return turn


def _data_key(secret: bytes | None) -> DataKey | None:
    try:
        return None if secret is None else DataKey(secret)
    except ValueError:
        raise InvalidResponse from None
