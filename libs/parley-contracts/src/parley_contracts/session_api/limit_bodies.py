"""Bodies of the routes of limits."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from parley_contracts.session_api.requests import ModelName, Request


class LimitStatus(Struct):
    """Where a person stands: `used` of `value`, until `resets_at` unless it is a number at once.

    It counts what a `person` or a `tenant` does; one API key or model alone, if it names them.
    """

    name: str
    value: int
    used: int
    per: Literal["person", "tenant"]
    api_key: str | None
    model: str | None
    resets_at: datetime | None


class LimitsResponse(Struct):
    """`GET /limits`"""

    limits: list[LimitStatus]


class AdmitCompletionRequest(Request):
    """`POST /completions/admission`: before a completion without a session."""

    model: ModelName
