"""Authenticates requests by bearer token."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.http.errors import InvalidRequest, Unauthenticated
from parley_core.http.service_auth import request_id
from parley_gateway.auth.api_key_verifier import PREFIX
from parley_gateway.auth.bad_token_limit import BadTokenLimit
from parley_gateway.auth.invalid_token import InvalidToken
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.auth.token_cache import VerifiedTokenCache
from parley_gateway.auth.token_verifiers import TokenVerifier, Verified

MAX_TOKEN_LENGTH = 16 * 1024

OnRequest = Callable[[Request, Principal], Awaitable[None]]


class Authenticator:
    """Resolves the bearer token, or API key, of a request to its caller.

    Raises Unauthenticated, InvalidRequest for two tokens, TooManyBadTokens, Unavailable when no
    verification key can be fetched or the revocations are not known yet, and every error of
    `on_request`, such as LimitExceeded.
    """

    def __init__(
        self,
        tokens: TokenVerifier,
        api_keys: TokenVerifier,
        token_cache: VerifiedTokenCache,
        revocations: RevocationList,
        bad_tokens: BadTokenLimit,
        on_request: OnRequest | None,
    ) -> None:
        """`on_request` is called for each request that this one authenticates; it may refuse it."""
        self._tokens, self._api_keys = tokens, api_keys
        self._token_cache, self._revocations = token_cache, revocations
        self._bad_tokens = bad_tokens
        self._on_request = on_request

    async def authenticate(self, request: Request) -> Caller:
        caller = await self._resolve(request)
        if self._on_request is not None:
            await self._on_request(request, caller.principal)
        return caller

    async def _resolve(self, request: Request) -> Caller:
        headers = request.headers.getlist("authorization")
        if len(headers) > 1:
            # Another server on the way may have checked the other one.
            raise InvalidRequest("This header is given twice.", param="Authorization")
        header = headers[0] if headers else ""
        # The original bytes: Starlette decodes headers as Latin-1.
        authorization = header.encode("latin-1")
        if (verified := self._token_cache.get(authorization)) is not None:
            return caller_of(request, verified.principal)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("This call requires a bearer token in the Authorization header.")
        self._bad_tokens.check(request.scope)
        try:
            principal, expires_at = await self._verify(token)
        except InvalidToken as invalid:
            self._bad_tokens.count(request.scope, invalid.reason)
            raise
        self._token_cache.put(authorization, principal, expires_at)
        return caller_of(request, principal)

    async def _verify(self, token: str) -> Verified:
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken(
                f"The token is longer than {MAX_TOKEN_LENGTH} characters.", "malformed"
            )
        verifier = self._api_keys if token.startswith(PREFIX) else self._tokens
        verified = await verifier.verify(token.strip())
        self._revocations.check(verified.principal)
        return verified


def caller_of(request: Request, principal: Principal) -> Caller:
    """The caller of the request, which its log line names from now on."""
    request.scope["state"]["principal"] = principal
    return Caller(principal, request_id(request))
