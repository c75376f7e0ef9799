"""Bodies of the routes of limits."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from parley_contracts.session_api.requests import Count, ModelName, Request


class LimitStatus(Struct):
    """Where a person stands: `used` of `value`, until `resets_at` unless it is a number at once.

    It counts what a `person` or a `tenant` does; one API key or model alone, if it names them.
    A budget has a `currency`, of which its numbers are micro-units; `reserved` is what the replies
    that run may cost.
    """

    name: str
    value: int
    used: int
    per: Literal["person", "tenant"]
    api_key: str | None
    model: str | None
    resets_at: datetime | None
    reserved: int = 0
    currency: str | None = None


class LimitsResponse(Struct):
    """`GET /limits`"""

    limits: list[LimitStatus]


class AdmitCompletionRequest(Request):
    """`POST /completions/admission`: before a completion without a session.

    `prompt_tokens` is an estimate; each of the `choices` has at most `max_tokens`.
    """

    model: ModelName
    prompt_tokens: Count = 0
    max_tokens: Count | None = None
    choices: Count = 1


class AdmitCompletionResponse(Struct, omit_defaults=True):
    """`id` is that of the completion to run, if a budget was reserved for it."""

    id: UUID | None = None
