"""Bodies of the revocation routes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from parley_contracts.session_api.limits import (
    MAX_REVOCATION_TARGET_LENGTH,
    NO_CONTROL_CHARACTER,
)
from parley_contracts.session_api.requests import Request
from parley_events.api_key import RevocationKind


class RevokeTokensRequest(Request):
    """`POST /token-revocations`; `expires_at` is that of a single token."""

    kind: RevocationKind
    target: Annotated[
        str,
        Meta(min_length=1, max_length=MAX_REVOCATION_TARGET_LENGTH, pattern=NO_CONTROL_CHARACTER),
    ]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class RevokedTokens(Struct):
    """Tokens of a tenant that are refused: one by its `jti`, or all of a user or of the tenant that
    were issued before `revoked_at`.
    """

    tenant: str
    kind: RevocationKind
    target: str
    revoked_at: datetime


class RevocationsResponse(Struct):
    """`GET /revocations`: API keys and tokens that were revoked recently.

    Some API keys are missing if it is not `complete`, some tokens if not `tokens_complete`.
    """

    api_keys: list[UUID]
    complete: bool
    tokens: list[RevokedTokens]
    tokens_complete: bool


class AllRevocationsResponse(Struct):
    """`GET /all-revocations`: a page of them; the next one is `after` the id `next`, if any."""

    tokens: list[RevokedTokens]
    next: UUID | None
