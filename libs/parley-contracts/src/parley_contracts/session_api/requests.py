"""Base of the request bodies, and the field types that several of them share."""

from typing import Annotated

from msgspec import Meta, Struct

from parley_contracts.session_api.limits import (
    MAX_ERROR_CODE_LENGTH,
    MAX_MODEL_NAME_LENGTH,
    MAX_TITLE_LENGTH,
    NO_CONTROL_CHARACTER,
)
from parley_events.values import MAX_COUNT, MAX_PRICE, Price, Usage

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
MicroUnits = Annotated[int, Meta(ge=0, le=MAX_PRICE)]
Content = Annotated[str, Meta(min_length=1)]
ModelName = Annotated[
    str, Meta(min_length=1, max_length=MAX_MODEL_NAME_LENGTH, pattern=NO_CONTROL_CHARACTER)
]
ErrorCode = Annotated[
    str, Meta(min_length=1, max_length=MAX_ERROR_CODE_LENGTH, pattern=NO_CONTROL_CHARACTER)
]
Title = Annotated[str, Meta(max_length=MAX_TITLE_LENGTH)]


class Request(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A request body; unknown fields are rejected.

    Defaults are omitted when it is encoded: the fingerprint of a request with an Idempotency-Key
    is taken from that encoding, and must not change when a later version adds fields.
    """


class TokenUsage(Request):
    """Token counts as the model server reported them, or estimated."""

    prompt_tokens: Count
    completion_tokens: Count
    estimated: bool = False

    @classmethod
    def of(cls, usage: Usage | None) -> "TokenUsage | None":
        return None if usage is None else cls(**usage.model_dump())

    def to_usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            estimated=self.estimated,
        )


class ModelPrice(Request):
    """Price in micro-units of the currency per million tokens."""

    currency: Annotated[str, Meta(min_length=1, max_length=16, pattern=NO_CONTROL_CHARACTER)]
    prompt: MicroUnits
    completion: MicroUnits

    @classmethod
    def of(cls, price: Price | None) -> "ModelPrice | None":
        return None if price is None else cls(**price.model_dump())

    def to_price(self) -> Price:
        return Price(currency=self.currency, prompt=self.prompt, completion=self.completion)


class BilledRequest(Request, kw_only=True):
    """A request that reports what a model call used, and the price that applied."""

    usage: TokenUsage | None = None
    price: ModelPrice | None = None
