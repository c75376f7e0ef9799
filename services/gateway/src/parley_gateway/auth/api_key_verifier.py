"""Verifies API keys: each is looked up in the session service."""

import base64
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import msgspec

from parley_contracts.session_api.api_key_bodies import (
    AuthenticateApiKeysRequest,
    AuthenticateApiKeysResponse,
    AuthenticatedApiKey,
    PresentedApiKey,
)
from parley_contracts.session_api.limits import MAX_API_KEYS_PER_REQUEST
from parley_core.auth.principal import Credential, Principal
from parley_core.http.errors import decode_response, service_unavailable
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.batcher import Batcher
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.token_verifiers import Verified

PREFIX = "pk_"
"""No JWT begins with it: those begin with the Base64 of a brace."""
# Within this time a revoked key is refused, even while the session service is unavailable.
MAX_CACHED_SECONDS = 60.0
TIMEOUT_SECONDS = 2.0
# Two calls of MAX_API_KEYS_PER_REQUEST: with more, the session service does not keep up.
MAX_WAITING_LOOKUPS = 1_000

_FORM = re.compile(r"pk_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)
_PresentedKey = tuple[UUID, bytes]

_decode_keys = msgspec.json.Decoder(AuthenticateApiKeysResponse).decode


class ApiKeyVerifier:
    """Its results are cached like those of tokens, and dropped once a key is revoked."""

    def __init__(self, session: ServiceClient) -> None:
        self._session = session
        # One call at a time: made-up keys cannot overload the session service.
        self._lookups = Batcher(self._look_up, max_keys=MAX_API_KEYS_PER_REQUEST)
        self._waiting = 0

    async def verify(self, credential: str) -> Verified:
        """Raises InvalidToken, or Unavailable, also when too many wait for the session service."""
        form = _FORM.fullmatch(credential)
        if form is None:
            raise InvalidToken("The API key is malformed.", "api_key")
        secret = base64.urlsafe_b64decode(form[2] + "=")
        if self._waiting >= MAX_WAITING_LOOKUPS:
            raise service_unavailable("session")
        self._waiting += 1
        try:
            found = await self._lookups.get((UUID(form[1]), hashlib.sha256(secret).digest()))
        finally:
            self._waiting -= 1
        if found is None:
            raise InvalidToken("The API key is unknown, expired or revoked.", "api_key")
        until = time.time() + MAX_CACHED_SECONDS
        if found.expires_at is not None:
            until = min(until, found.expires_at.timestamp())
        return Verified(_principal(found), until)

    async def _look_up(
        self, keys: Sequence[_PresentedKey]
    ) -> Mapping[_PresentedKey, AuthenticatedApiKey | None]:
        request = AuthenticateApiKeysRequest([PresentedApiKey(*key) for key in keys])
        response = await self._session.call(
            "POST",
            "/api-keys/authenticate",
            principal=self._session.service_principal,
            request_id=uuid4().hex,
            body=msgspec.json.encode(request),
            timeout=TIMEOUT_SECONDS,
        )
        return decode_response(
            response.body,
            lambda body: dict(zip(keys, _decode_keys(body).keys, strict=True)),
            service="session",
        )


def _principal(key: AuthenticatedApiKey) -> Principal:
    models = None if key.models is None else frozenset(key.models)
    limits = frozenset(key.limits.items())
    credential = Credential(issued_at=key.created_at.timestamp(), limits=limits)
    return Principal(key.tenant, key.user, frozenset(key.scopes), models, str(key.id), credential)
