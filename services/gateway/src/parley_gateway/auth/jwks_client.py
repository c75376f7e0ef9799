"""The keys that an issuer publishes as a JSON Web Key Set: fetched, kept, and fetched again.

Source: RFC 7517.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from parley_core.http.errors import Unavailable
from parley_gateway.auth.jwks import InvalidJWKS, KeyName, SigningKey, signing_keys

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JWKSSettings:
    """Seconds and bytes; see the settings of the same names."""

    seconds: float
    bytes: int
    refetch_seconds: float
    max_age_seconds: float


class JWKSClient:
    """Keys stay in use while their server is away; one that it publishes no more is forgotten."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        limits: JWKSSettings,
        on_fetched: Callable[[], None] = lambda: None,
    ) -> None:
        self._http, self._url, self._limits = http, url, limits
        self._on_fetched = on_fetched
        self._keys: Mapping[KeyName, SigningKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The key of that name. Raises Unavailable when there are no keys to look among."""
        found = self._known(kid, algorithm)
        if found is None or self._are_old():
            fetching = self._fetch_unless_lately()
            if found is None and fetching is not None:
                # Shielded: whoever waits for the same fetch is not left alone by one who leaves.
                await asyncio.shield(fetching)
                found = self._known(kid, algorithm)
        if not self._keys:
            raise Unavailable(
                "The keys that tokens are verified with cannot be had; try again.",
                code="keys_unavailable",
            )
        return found

    def _known(self, kid: str | None, algorithm: str) -> SigningKey | None:
        if kid is not None:
            return self._keys.get((kid, algorithm))
        fitting = [key for (_, made_for), key in self._keys.items() if made_for == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _are_old(self) -> bool:
        return time.monotonic() - self._fetched_at > self._limits.max_age_seconds

    def _fetch_unless_lately(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None when the last one was tried a moment ago."""
        if self._fetching is None or self._fetching.done():
            if time.monotonic() - self._tried_at < self._limits.refetch_seconds:
                return None
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = signing_keys(await self._document())
        except (aiohttp.ClientError, TimeoutError, OSError, InvalidJWKS) as error:
            log.warning("the key set could not be fetched: %s", type(error).__name__)
        else:
            self._fetched_at = time.monotonic()
            self._on_fetched()

    async def _document(self) -> bytes:
        limits = aiohttp.ClientTimeout(total=self._limits.seconds)
        async with self._http.get(self._url, timeout=limits, allow_redirects=False) as answer:
            if answer.status != 200:
                raise InvalidJWKS
            document = bytearray()
            async for received in answer.content.iter_any():
                document += received
                if len(document) > self._limits.bytes:
                    raise InvalidJWKS
            return bytes(document)
