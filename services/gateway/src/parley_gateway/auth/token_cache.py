"""LRU cache of verified tokens, so that a token is not verified at every request."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from parley_core.auth.principal import Principal

# Room for 10,000 API keys beside the tokens of people: about 10 MB.
MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """`owner` is (tenant, user). `valid_until` is Unix time in seconds."""

    principal: Principal
    owner: tuple[str, str]
    valid_until: float


def token_digest(authorization: bytes) -> bytes:
    return hashlib.sha256(authorization).digest()


class VerifiedTokenCache:
    """Keeps an entry for `ttl_seconds` at most, and never beyond the token's own expiry."""

    def __init__(
        self,
        ttl_seconds: float,
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ttl_seconds, self._clock = ttl_seconds, clock
        # Keyed by digest, so that a memory dump contains no usable token.
        self._entries: LRUCache[bytes, VerifiedToken] = LRUCache(max_entries)

    def get(self, authorization: bytes) -> VerifiedToken | None:
        """Look up by the whole value of the Authorization header."""
        return self.find(token_digest(authorization))

    def find(self, digest: bytes) -> VerifiedToken | None:
        """Look up by the digest of the value of the Authorization header."""
        verified = self._entries.get(digest)
        if verified is None:
            return None
        if self._clock() >= verified.valid_until:
            del self._entries[digest]
            return None
        return verified

    def put(self, authorization: bytes, principal: Principal, expires_at: float) -> None:
        now = self._clock()
        valid_until = min(expires_at, now + self._ttl_seconds)
        if valid_until <= now:
            return
        owner = (principal.tenant, principal.user)
        self._entries[token_digest(authorization)] = VerifiedToken(principal, owner, valid_until)

    def drop(self, is_dropped: Callable[[Principal], bool]) -> None:
        """Verify the tokens and API keys of these principals again."""
        for digest, verified in [*self._entries.items()]:
            if is_dropped(verified.principal):
                self._entries.pop(digest, None)

    def clear(self) -> None:
        """Verify every token again: the current keys may reject it."""
        self._entries.clear()
