"""Bounds how many bad tokens of one client address are verified: each costs a signature check."""

import time
from collections.abc import Callable

from cachetools import LRUCache
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Scope

from parley_core.http.connection_limits import client_of_address
from parley_core.http.errors import TooManyRequests
from parley_gateway.auth.invalid_token import Reason

# Far more than the clients behind one address send by mistake.
BAD_TOKENS_PER_SECOND = 20.0
MAX_BAD_TOKENS_AT_ONCE = 1_000
_MAX_ADDRESSES = 10_000
# An address is limited for milliseconds at a time, and again as long as it sends bad tokens.
_LIMITING_SECONDS = 1.0


class TooManyBadTokens(TooManyRequests):
    code = "too_many_bad_tokens"

    def __init__(self) -> None:
        super().__init__(
            "Too many tokens from this address were rejected. Retry with a valid token."
        )


class BadTokenLimit:
    """Of each address, MAX_BAD_TOKENS_AT_ONCE, and then BAD_TOKENS_PER_SECOND.

    Tokens in the cache are not counted, nor refused. Of IPv6, an address is a /64 network.
    """

    def __init__(
        self,
        address_of: Callable[[Scope], str | None],
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address_of` returns None for a request that is not limited."""
        self._address_of, self._clock = address_of, clock
        self._rejected = Counter(
            "parley_gateway_tokens_rejected",
            "Tokens and API keys that were rejected, by the reason.",
            ["reason"],
            registry=registry,
        )
        # How many may follow, as of that time; the addresses that are full again may be forgotten.
        self._left: LRUCache[str, tuple[float, float]] = LRUCache(_MAX_ADDRESSES)
        self._limiting_until = float("-inf")

    @property
    def is_limiting(self) -> bool:
        """Whether an address was limited recently; costs less than `refuses`."""
        return self._clock() < self._limiting_until

    def refuses(self, scope: Scope) -> bool:
        """Whether a token of this client is not verified."""
        client = self._client(scope)
        if client is None or client not in self._left or self._left_of(client) >= 1:
            return False
        self._limiting_until = self._clock() + _LIMITING_SECONDS
        return True

    def check(self, scope: Scope) -> None:
        """Raises TooManyBadTokens."""
        if self.refuses(scope):
            raise TooManyBadTokens

    def count(self, scope: Scope, reason: Reason) -> None:
        """A token of this client was rejected."""
        self._rejected.labels(reason).inc()
        client = self._client(scope)
        if client is not None:
            self._left[client] = max(0.0, self._left_of(client) - 1), self._clock()

    def _left_of(self, client: str) -> float:
        left, at = self._left.get(client, (float(MAX_BAD_TOKENS_AT_ONCE), self._clock()))
        return min(MAX_BAD_TOKENS_AT_ONCE, left + (self._clock() - at) * BAD_TOKENS_PER_SECOND)

    def _client(self, scope: Scope) -> str | None:
        address = self._address_of(scope)
        if address is None or ":" not in address:
            return address
        return client_of_address(address)
