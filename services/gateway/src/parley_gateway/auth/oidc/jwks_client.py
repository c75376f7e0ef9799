"""Fetches and keeps an issuer's JSON Web Key Set (RFC 7517), found by OpenID Connect Discovery."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from parley_core.http.errors import Unavailable
from parley_core.runtime.backoff import Backoff
from parley_gateway.auth.oidc.jwks import InvalidJWKS, KeyName, VerificationKey, parse_jwks
from parley_gateway.auth.oidc.trustworthy_url import is_trustworthy_url

log = logging.getLogger(__name__)

FETCH_TIMEOUT_SECONDS = 5.0
REFRESH_SECONDS = 300.0
# Tokens with made-up key ids must not turn into requests to the issuer. A token signed with a new
# key waits this long at most.
MIN_FETCH_INTERVAL_SECONDS = 2.0
RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS = 0.5, 10.0
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_WAITING_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where an issuer's keys are, and for how long they are believed without a further fetch.

    With `jwks_url`, nothing is discovered. `ca_certificates` are PEM, in place of the system's.
    """

    issuer: str
    jwks_url: str | None
    discovery_url: str
    algorithms: frozenset[str]
    ca_certificates: str | None
    max_age_seconds: float


class JWKSClient:
    """Keeps the last keys while the issuer is unavailable, up to their maximum age; keys that it
    withdraws are dropped.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        source: KeySource,
        *,
        on_changed: Callable[[], None] = lambda: None,
        on_result: Callable[[], None] = lambda: None,
    ) -> None:
        self._http, self._source = http, source
        self._on_changed, self._on_result = on_changed, on_result
        self._ssl = (
            ssl.create_default_context(cadata=source.ca_certificates)
            if source.ca_certificates
            else True
        )
        self._keys: Mapping[KeyName, VerificationKey] = {}
        self._document = b""
        self._fetched_at = self._attempted_at = float("-inf")
        self._failed = False
        self._fetch_task: asyncio.Task[None] | None = None
        self._requested = False
        self._waiting = 0

    async def run(self, on_first_attempt: Callable[[], None] = lambda: None) -> None:
        """Fetch the keys again and again, until cancelled."""
        backoff = Backoff(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        while True:
            await asyncio.shield(self._next_fetch())
            on_first_attempt()
            if self._failed:
                await asyncio.sleep(backoff.next_delay() or 0)
            else:
                backoff.reset()
                await asyncio.sleep(REFRESH_SECONDS)

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key with that id; an unknown one is looked for at the issuer.

        Raises Unavailable when the issuer does not answer, or too many wait for it.
        """
        key = self._current(kid, algorithm)
        if key is not None:
            return key
        if self._waiting >= MAX_WAITING_TOKENS:
            raise _unavailable()
        self._waiting += 1
        try:
            # A fetch that was under way may have been answered before the key was published.
            for _ in range(2 if self._requested else 1):
                # Shielded: a caller that disconnects must not cancel the fetch others wait for.
                await asyncio.shield(self._next_fetch())
                if (key := self._current(kid, algorithm)) is not None:
                    return key
        finally:
            self._waiting -= 1
        if self._failed:
            raise _unavailable()
        return None

    async def close(self) -> None:
        """End the fetch that is running."""
        if self._fetch_task is not None:
            self._fetch_task.cancel()
            await asyncio.gather(self._fetch_task, return_exceptions=True)

    @property
    def is_failing(self) -> bool:
        """Whether the last fetch failed."""
        return self._failed

    @property
    def age_seconds(self) -> float | None:
        """The seconds since the keys were fetched; None before."""
        return time.monotonic() - self._fetched_at if self._keys else None

    @property
    def status(self) -> str:
        """`ok`, `stale` after a failed fetch, `expired` once keys are believed no more, `none`."""
        age = self.age_seconds
        if age is None:
            return "none"
        if age > self._source.max_age_seconds:
            return "expired"
        return "stale" if self._failed else "ok"

    def _current(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        if time.monotonic() - self._fetched_at > self._source.max_age_seconds:
            return None
        if kid is not None:
            return self._keys.get((kid, algorithm))
        matching = [key for (_, made_for), key in self._keys.items() if made_for == algorithm]
        return matching[0] if len(matching) == 1 else None

    def _next_fetch(self) -> asyncio.Task[None]:
        """The fetch that runs or is about to, or a new one."""
        if self._fetch_task is None or self._fetch_task.done():
            self._fetch_task = asyncio.create_task(self._fetch_when_allowed())
        return self._fetch_task

    async def _fetch_when_allowed(self) -> None:
        wait_seconds = self._attempted_at + MIN_FETCH_INTERVAL_SECONDS - time.monotonic()
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
        self._attempted_at = time.monotonic()
        self._requested = True
        try:
            await self._fetch()
        finally:
            self._requested = False

    async def _fetch(self) -> None:
        try:
            document = await self._download(self._source.jwks_url or await self._discover())
            keys = parse_jwks(document, self._source.algorithms)
        # ValueError: the host of a URL is no domain name.
        except (aiohttp.ClientError, OSError, ValueError, InvalidJWKS) as error:
            reason = str(error) if isinstance(error, InvalidJWKS) else type(error).__name__
            log.warning("failed to fetch the keys of %s: %s", self._source.issuer, reason)
            self._failed = True
        else:
            self._failed, self._fetched_at = False, time.monotonic()
            if document != self._document:
                self._keys, self._document = keys, document
                self._on_changed()
        self._on_result()

    async def _discover(self) -> str:
        """The URL of the keys (OpenID Connect Discovery, section 4)."""
        document = await self._download(self._source.discovery_url)
        try:
            metadata = msgspec.json.decode(document, type=_Metadata)
        except (ValueError, RecursionError):
            raise InvalidJWKS("the discovery document is malformed") from None
        if metadata.issuer != self._source.issuer:
            raise InvalidJWKS("the discovery document names another issuer")
        if not is_trustworthy_url(metadata.jwks_uri):
            raise InvalidJWKS("the discovery document has a jwks_uri without https")
        return metadata.jwks_uri

    async def _download(self, url: str) -> bytes:
        options: dict[str, Any] = {
            "timeout": aiohttp.ClientTimeout(total=FETCH_TIMEOUT_SECONDS),
            "allow_redirects": False,
            "ssl": self._ssl,
        }
        async with self._http.get(url, **options) as response:
            if response.status != 200:
                raise InvalidJWKS(f"the issuer answers {response.status}")
            document = bytearray()
            async for chunk in response.content.iter_any():
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise InvalidJWKS(f"a document is over {MAX_DOCUMENT_BYTES} bytes")
            return bytes(document)


class _Metadata(msgspec.Struct):
    issuer: str
    jwks_uri: str


def _unavailable() -> Unavailable:
    return Unavailable(
        "The keys that verify tokens are unavailable. Please retry.", code="keys_unavailable"
    )
