"""Committed versions of sessions in Redis, so that a read needs no call to the session service.

The session service publishes a version before it acknowledges the command. A version counts only
under the current epoch, a random name in a key of its own: a flush removes it, and a process whose
publishing failed removes it, so that no version written before counts afterwards. A version that
is missing is loaded from the session service.
"""

import secrets
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from redis.asyncio import Redis

from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker

# Bounds the memory of Redis; a session that is read after this time costs one call.
TTL_SECONDS = 600

_EPOCH = "parley:versions:epoch"

# Arguments: the epoch that must be current ('': any), the epoch to set where none is, the TTL, and
# a version per session. The version of a session that nobody may read any more is negative.
_WRITE = """
local epoch = redis.call('GET', KEYS[1])
if ARGV[1] ~= '' then
    if epoch ~= ARGV[1] then return 0 end
elseif not epoch then
    epoch = ARGV[2]
    redis.call('SET', KEYS[1], epoch)
end
local prefix = epoch .. ' '
for number = 2, #KEYS do
    local version, cached = ARGV[number + 2], redis.call('GET', KEYS[number])
    if not cached or cached:sub(1, #prefix) ~= prefix
        or math.abs(tonumber(cached:sub(#prefix + 1))) < math.abs(tonumber(version)) then
        redis.call('SET', KEYS[number], prefix .. version, 'EX', ARGV[3])
    end
end
return 1
"""


class CachedVersions(NamedTuple):
    """`epoch` is None where Redis has none; a version of None stands for a session that is gone."""

    epoch: str | None
    versions: Mapping[UUID, int | None]


class CommittedVersion(NamedTuple):
    """`gone`: nobody may read the session any more."""

    session_id: UUID
    version: int
    gone: bool


class VersionCache:
    def __init__(self, redis: RedisWithCircuitBreaker) -> None:
        self._redis = redis

    async def read(self, session_ids: Sequence[UUID]) -> CachedVersions | None:
        """Read the versions that are cached, in one round trip; None when Redis does not reply."""
        names = [_EPOCH, *map(_name, session_ids)]
        replies = await self._redis.call(lambda redis: _mget(redis, names))
        if replies is None:
            return None
        epoch, *values = replies
        if epoch is None:
            return CachedVersions(None, {})
        prefix = epoch + b" "
        versions = {
            session_id: _visible(int(value[len(prefix) :]))
            for session_id, value in zip(session_ids, values, strict=True)
            if value is not None and value.startswith(prefix)
        }
        return CachedVersions(epoch.decode(), versions)

    async def publish(self, versions: Sequence[CommittedVersion]) -> bool:
        """Publish committed versions; older ones are ignored. False when Redis does not reply."""
        return await self._write(
            "",
            [(each.session_id, -each.version if each.gone else each.version) for each in versions],
        )

    async def fill(self, epoch: str, versions: Mapping[UUID, int]) -> None:
        """Add versions of the session service, requested after `epoch` was read."""
        await self._write(epoch, [*versions.items()])

    async def start_epoch(self) -> bool:
        """Start an epoch where there is none: after the start of Redis, or a flush.

        False when Redis does not reply.
        """
        return await self._redis.call(_start_epoch) is not None

    async def end_epoch(self) -> bool:
        """Invalidate all versions, even in a full Redis. False when Redis does not reply."""
        return await self._redis.call(lambda redis: redis.delete(_EPOCH)) is not None

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _write(self, epoch: str, versions: Sequence[tuple[UUID, int]]) -> bool:
        names = [_EPOCH, *(_name(session_id) for session_id, _ in versions)]
        arguments: list[str | int] = [epoch, secrets.token_hex(8), TTL_SECONDS]
        arguments += [version for _, version in versions]

        def evaluate(redis: Redis) -> Awaitable[Any]:
            return redis.eval(_WRITE, len(names), *names, *arguments)

        return await self._redis.call(evaluate) is not None


async def _start_epoch(redis: Redis) -> bool:
    await redis.set(_EPOCH, secrets.token_hex(8), nx=True)
    return True


async def _mget(redis: Redis, names: Sequence[str]) -> list[bytes | None]:
    return cast("list[bytes | None]", await redis.mget(names))


def _name(session_id: UUID) -> str:
    return f"parley:version:{session_id}"


def _visible(version: int) -> int | None:
    return version if version > 0 else None
