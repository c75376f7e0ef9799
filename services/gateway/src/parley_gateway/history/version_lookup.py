"""Committed versions of sessions: what a read of history through any gateway must have (ADR 24)."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import msgspec

from parley_contracts.session_api.limits import MAX_VERSIONS_PER_REQUEST
from parley_contracts.session_api.version_bodies import VersionsRequest, VersionsResponse
from parley_core.http.errors import NotFound, decode_response
from parley_core.http.service_client import ServiceClient
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.runtime.batcher import Batcher
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.storage.version_cache import CachedVersions, VersionCache

# A slower Redis is no help: the session service replies in a few milliseconds. But the time that
# this process takes to read the reply counts as well, while it answers 1,000 other requests.
REDIS_TIMEOUT_SECONDS = 0.25
REDIS_OPEN_SECONDS = 1.0
# The session service needs less after a failure to end the epoch of what it could not publish.
REDIS_DISTRUST_SECONDS = 1.0
# One read of Redis at a time, and fills.
REDIS_CONNECTIONS = 4

SESSION_TIMEOUT_SECONDS = 2.0

_decode = msgspec.json.Decoder(VersionsResponse).decode


class VersionLookup:
    """Reads Redis, and asks the session service for versions that Redis does not have."""

    def __init__(
        self,
        cache: VersionCache | None,
        session: ServiceClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache, self._session, self._clock = cache, session, clock
        self._epoch: str | None = None
        self._is_failing, self._trusted_from = False, 0.0
        self._cached = Batcher(self._read_cache, max_keys=MAX_VERSIONS_PER_REQUEST)
        self._committed = Batcher(self._ask_session, max_keys=MAX_VERSIONS_PER_REQUEST)

    async def current(self, session_id: UUID) -> int:
        """The committed version, at the time of the call or later.

        Raises NotFound for a session that is deleted, erased or unknown, and Unavailable.
        """
        version = None if self._cache is None else await self._cached.get(session_id)
        if version is None:
            return await self.committed(session_id)
        return _require_readable(version)

    async def committed(self, session_id: UUID) -> int:
        """Like `current`, from the session service itself."""
        return _require_readable(await self._committed.get(session_id))

    def _is_trusted(self, cached: CachedVersions | None) -> bool:
        was_failing, self._is_failing = self._is_failing, cached is None
        if was_failing:
            self._trusted_from = self._clock() + REDIS_DISTRUST_SECONDS
        return cached is not None and self._clock() >= self._trusted_from

    async def _read_cache(self, session_ids: Sequence[UUID]) -> Mapping[UUID, int | None]:
        """Versions, 0 for a session that is gone, and None where Redis has none."""
        assert self._cache is not None
        cached = await self._cache.read(session_ids)
        self._epoch = cached and cached.epoch
        versions = cached.versions if self._is_trusted(cached) and cached else {}
        return {session_id: versions.get(session_id) for session_id in session_ids}

    async def _ask_session(self, session_ids: Sequence[UUID]) -> Mapping[UUID, int]:
        """Versions, and 0 for a session that is gone."""
        epoch = self._epoch
        response = await self._session.call(
            "POST",
            "/versions",
            principal=self._session.service_principal,
            request_id=uuid4().hex,
            body=msgspec.json.encode(VersionsRequest([*session_ids])),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        versions = decode_response(response.body, _decode, service="session").versions
        if self._cache is not None and epoch is not None and versions:
            await self._cache.fill(epoch, versions)
        return {session_id: versions.get(session_id, 0) for session_id in session_ids}


@asynccontextmanager
async def version_cache(
    settings: RedisSettings, monitor: ProcessMonitor
) -> AsyncIterator[VersionCache | None]:
    """The versions in Redis; None without a Redis."""
    if settings.url is None:
        yield None
        return
    redis = RedisWithCircuitBreaker(
        lambda: settings.current_url,
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        open_seconds=REDIS_OPEN_SECONDS,
        max_connections=REDIS_CONNECTIONS,
        on_result=monitor.dependencies["redis"].report,
    )
    try:
        yield VersionCache(redis)
    finally:
        await redis.aclose()


def _require_readable(version: int) -> int:
    if not version:
        raise NotFound("There is no such session.", code="session_not_found")
    return version
