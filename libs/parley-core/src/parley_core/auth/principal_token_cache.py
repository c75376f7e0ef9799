"""Caches of signed and of verified principal tokens, which save a signature on each call.

Caching does not extend the life of a token: its times are checked at each use.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from cachetools import LRUCache

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import VerifiedToken, decode_principal_token, sign_principal
from parley_core.auth.service_keys import ServiceKeys, SigningKey

# Short beside the token's 60 s: the callee receives a token with most of its life left.
REUSE_SECONDS = 10
MAX_CACHED_TOKENS = 1_000

PseudonymOf = Callable[[Principal], str | None]
"""What stands for a person in logs: gateways make it, other services receive it with a call."""

received_pseudonym: PseudonymOf = attrgetter("pseudonym")


class PrincipalSigner:
    """Issues the tokens of one calling service; reuses one per principal for REUSE_SECONDS.

    A token of a key that was replaced is not reused.
    """

    def __init__(self, key: SigningKey, *, audience: str, pseudonym_of: PseudonymOf) -> None:
        self._key, self._audience, self._pseudonym_of = key, audience, pseudonym_of
        self._tokens: LRUCache[Principal, tuple[datetime, str]] = LRUCache(MAX_CACHED_TOKENS)
        self._signed_with = key.id

    def token_for(self, principal: Principal, now: datetime) -> str:
        if self._signed_with != self._key.id:
            self._tokens.clear()
            self._signed_with = self._key.id
        signed_at, token = self._tokens.get(principal, (now, ""))
        if token and 0 <= (now - signed_at).total_seconds() < REUSE_SECONDS:
            return token
        known = replace(principal, pseudonym=self._pseudonym_of(principal))
        token = sign_principal(known, self._key, audience=self._audience, now=now)
        self._tokens[principal] = (now, token)
        return token


class PrincipalVerifier:
    """Verifies the tokens that one service receives: the signature once, the times always."""

    def __init__(self, keys: ServiceKeys, *, audience: str) -> None:
        self._keys, self._audience = keys, audience
        self._verified: LRUCache[str, VerifiedToken] = LRUCache(MAX_CACHED_TOKENS)
        self._verified_with = keys.by_id

    def verify(self, token: str, now: datetime) -> VerifiedToken:
        """Return a valid token's service and principal; raises InvalidPrincipal."""
        if self._verified_with is not self._keys.by_id:
            # A key may have been removed because it was stolen.
            self._verified.clear()
            self._verified_with = self._keys.by_id
        verified = self._verified.get(token)
        if verified is None:
            verified = decode_principal_token(token, self._keys, audience=self._audience)
            self._verified[token] = verified
        verified.check_times(now)
        return verified
