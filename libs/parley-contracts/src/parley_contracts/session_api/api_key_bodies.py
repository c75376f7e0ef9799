"""Bodies of the API key routes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from parley_contracts.session_api.limits import (
    MAX_API_KEY_MODELS,
    MAX_API_KEY_NAME_LENGTH,
    MAX_API_KEY_SCOPES,
    MAX_API_KEYS_PER_REQUEST,
    NO_CONTROL_CHARACTER,
    SCOPE_PATTERN,
)
from parley_contracts.session_api.requests import ModelName, Request
from parley_core.limits.limit_fields import LimitFields

ApiKeyName = Annotated[
    str, Meta(min_length=1, max_length=MAX_API_KEY_NAME_LENGTH, pattern=NO_CONTROL_CHARACTER)
]
Scope = Annotated[str, Meta(pattern=rf"^{SCOPE_PATTERN}\Z")]


class CreateApiKeyRequest(Request):
    """`POST /api-keys`; without `models` all, without `expires_at` until it is revoked."""

    name: ApiKeyName
    scopes: Annotated[tuple[Scope, ...], Meta(max_length=MAX_API_KEY_SCOPES)] = ()
    models: (
        Annotated[tuple[ModelName, ...], Meta(min_length=1, max_length=MAX_API_KEY_MODELS)] | None
    ) = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    limits: LimitFields | None = None


class PresentedApiKey(Request):
    """An API key that a client sent: its id, and the SHA-256 of its secret."""

    id: UUID
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]


class AuthenticateApiKeysRequest(Request):
    """`POST /api-keys/authenticate`"""

    keys: Annotated[list[PresentedApiKey], Meta(max_length=MAX_API_KEYS_PER_REQUEST)]


class AuthenticatedApiKey(Struct):
    """Whom a valid key acts for, and with what; `models` is null for all."""

    id: UUID
    tenant: str
    user: str
    scopes: Sequence[str]
    models: Sequence[str] | None
    created_at: datetime
    expires_at: datetime | None
    limits: Mapping[str, int] = {}


class AuthenticateApiKeysResponse(Struct):
    """In the order of the request; null for a key that is unknown, wrong, expired or revoked."""

    keys: list[AuthenticatedApiKey | None]
