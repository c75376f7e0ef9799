"""Verifies API keys: each is looked up in the session service, and its revocation noticed soon."""

import asyncio
import base64
import hashlib
import logging
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
    RevocationsResponse,
)
from parley_contracts.session_api.limits import MAX_API_KEYS_PER_REQUEST
from parley_core.auth.principal import Principal
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.batcher import Batcher
from parley_core.runtime.safe_logging import log_unexpected_error
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.auth.token_verifiers import Verified

log = logging.getLogger(__name__)

PREFIX = "pk_"
"""No JWT begins with it: those begin with the Base64 of a brace."""
# Within this time a revoked key is refused, even while the session service is unavailable.
MAX_CACHED_SECONDS = 60.0
REVOCATION_POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 2.0
# Two calls of MAX_API_KEYS_PER_REQUEST: with more, the session service does not keep up.
MAX_WAITING_LOOKUPS = 1_000

_FORM = re.compile(r"pk_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)
_PresentedKey = tuple[UUID, bytes]

_decode_keys = msgspec.json.Decoder(AuthenticateApiKeysResponse).decode
_decode_revocations = msgspec.json.Decoder(RevocationsResponse).decode


class ApiKeyVerifier:
    """Its results are cached like those of tokens; `run` drops those of revoked keys."""

    def __init__(self, session: ServiceClient, tokens: VerifiedTokenCache) -> None:
        self._session, self._tokens = session, tokens
        self._revoked: frozenset[str] = frozenset()
        # One call at a time: made-up keys cannot overload the session service.
        self._lookups = Batcher(self._look_up, max_keys=MAX_API_KEYS_PER_REQUEST)
        self._waiting = 0

    async def verify(self, credential: str) -> Verified:
        """Raises InvalidToken, or Unavailable, also when too many wait for the session service."""
        form = _FORM.fullmatch(credential)
        if form is None:
            raise InvalidToken("The API key is malformed.")
        secret = base64.urlsafe_b64decode(form[2] + "=")
        if self._waiting >= MAX_WAITING_LOOKUPS:
            raise _unavailable()
        self._waiting += 1
        try:
            found = await self._lookups.get((UUID(form[1]), hashlib.sha256(secret).digest()))
        finally:
            self._waiting -= 1
        # It may have been revoked while the response was under way.
        if found is None or str(found.id) in self._revoked:
            raise InvalidToken("The API key is unknown, expired or revoked.")
        until = time.time() + MAX_CACHED_SECONDS
        if found.expires_at is not None:
            until = min(until, found.expires_at.timestamp())
        return Verified(_principal(found), until)

    async def run(self) -> None:
        """Drop revoked keys from the cache, until cancelled."""
        while True:
            await asyncio.sleep(REVOCATION_POLL_SECONDS)
            try:
                revoked, complete = await self._revoked_lately()
                fresh, self._revoked = revoked - self._revoked, revoked
                if fresh or not complete:
                    self._tokens.drop_api_keys(fresh if complete else None)
            except ParleyError as error:
                # The cached keys expire by themselves.
                log.debug("revocations are unknown: %s", error.code)
            except Exception as error:
                log_unexpected_error(log, "revocations", error)

    async def _look_up(
        self, keys: Sequence[_PresentedKey]
    ) -> Mapping[_PresentedKey, AuthenticatedApiKey | None]:
        request = AuthenticateApiKeysRequest([PresentedApiKey(*key) for key in keys])
        body = await self._call("POST", "/api-keys/authenticate", msgspec.json.encode(request))
        try:
            return dict(zip(keys, _decode_keys(body).keys, strict=True))
        except ValueError:
            raise _unavailable() from None

    async def _revoked_lately(self) -> tuple[frozenset[str], bool]:
        try:
            response = _decode_revocations(await self._call("GET", "/revocations"))
        except ValueError:
            raise _unavailable() from None
        return frozenset(map(str, response.api_keys)), response.complete

    async def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        response = await self._session.call(
            method,
            path,
            principal=self._session.service_principal,
            request_id=uuid4().hex,
            body=body,
            timeout=TIMEOUT_SECONDS,
        )
        return response.body


def _principal(key: AuthenticatedApiKey) -> Principal:
    models = None if key.models is None else frozenset(key.models)
    return Principal(key.tenant, key.user, frozenset(key.scopes), models, str(key.id))


def _unavailable() -> Unavailable:
    return Unavailable(
        "The session service is unavailable. Please retry.", code="session_unavailable"
    )
