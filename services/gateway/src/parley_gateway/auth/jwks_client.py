"""Fetches and caches an issuer's JSON Web Key Set (RFC 7517)."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import aiohttp

from parley_core.http.errors import Unavailable
from parley_core.runtime.backoff import Backoff
from parley_gateway.auth.jwks import InvalidJWKS, KeyName, VerificationKey, parse_jwks

log = logging.getLogger(__name__)

FETCH_TIMEOUT_SECONDS = 5.0
# Tokens with made-up key ids must not turn into requests to the issuer.
MIN_REFETCH_INTERVAL_SECONDS = 10.0
RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS = 0.5, 10.0
MAX_DOCUMENT_BYTES = 256 * 1024


class JWKSClient:
    """Keeps the last keys while the issuer is unavailable; keys that it withdraws are dropped."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        max_age_seconds: float,
        on_fetched: Callable[[], None] = lambda: None,
        on_result: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._http, self._url, self._max_age_seconds = http, url, max_age_seconds
        self._on_fetched, self._on_result = on_fetched, on_result
        self._keys: Mapping[KeyName, VerificationKey] = {}
        self._fetched_at = self._attempted_at = float("-inf")
        self._fetch_task: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key with that id. Raises Unavailable when no key set was fetched yet."""
        key = self._cached(kid, algorithm)
        if key is None or self._is_stale():
            fetch = self._fetch_unless_recent()
            if key is None and fetch is not None:
                # Shielded: a caller that disconnects must not cancel the fetch others wait for.
                await asyncio.shield(fetch)
                key = self._cached(kid, algorithm)
        if not self._keys:
            raise Unavailable(
                "The keys that verify tokens are unavailable. Please retry.",
                code="keys_unavailable",
            )
        return key

    @property
    def age_seconds(self) -> float | None:
        """The seconds since the keys were fetched; None before."""
        return time.monotonic() - self._fetched_at if self._keys else None

    async def wait_until_fetched(self) -> None:
        """Fetch the keys, with retries, until there are some."""
        backoff = Backoff(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        while not self._keys:
            if (fetch := self._fetch_unless_recent()) is not None:
                await asyncio.shield(fetch)
            if not self._keys:
                await asyncio.sleep(backoff.next_delay() or 0)

    def _cached(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        if kid is not None:
            return self._keys.get((kid, algorithm))
        matching = [key for (_, made_for), key in self._keys.items() if made_for == algorithm]
        return matching[0] if len(matching) == 1 else None

    def _is_stale(self) -> bool:
        return time.monotonic() - self._fetched_at > self._max_age_seconds

    def _fetch_unless_recent(self) -> asyncio.Task[None] | None:
        """The running fetch, or a new one; None when the last attempt was too recent."""
        if self._fetch_task is None or self._fetch_task.done():
            if time.monotonic() - self._attempted_at < MIN_REFETCH_INTERVAL_SECONDS:
                return None
            self._attempted_at = time.monotonic()
            self._fetch_task = asyncio.create_task(self._fetch())
        return self._fetch_task

    async def _fetch(self) -> None:
        try:
            self._keys = parse_jwks(await self._download())
        except (aiohttp.ClientError, TimeoutError, OSError, InvalidJWKS) as error:
            log.warning("failed to fetch the JSON Web Key Set: %s", type(error).__name__)
            self._on_result(False)
        else:
            self._on_result(True)
            self._fetched_at = time.monotonic()
            self._on_fetched()

    async def _download(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_SECONDS)
        async with self._http.get(self._url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise InvalidJWKS
            document = bytearray()
            async for chunk in response.content.iter_any():
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise InvalidJWKS
            return bytes(document)
