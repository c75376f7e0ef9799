"""Counts that all replicas of a service share in Redis: of a minute, and of things at once.

Redis may be flushed at any time: then less is counted than there was.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from redis.asyncio import Redis

from parley_core.runtime.batcher import Batcher
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker

WINDOW_SECONDS = 60
Counted = tuple[str, int]
"""What is counted, and the number of the window: Unix time by WINDOW_SECONDS."""
# Of the open things of a replica that ended without closing them, and of such a replica.
EXPIRY_SECONDS = 30
RENEW_SECONDS = 10
# A replica whose clock is behind still counts in the window before.
_KEPT_SECONDS = 2 * WINDOW_SECONDS
_MAX_BATCH = 500

# Arguments: the limit, the seconds until it expires, and the id of what is opened.
_OPEN = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
# Arguments: the seconds until they expire, and an id for each key, the first that of the replica.
_RENEW = """
local now = tonumber(redis.call('TIME')[1])
for number = 1, #KEYS do
    redis.call('ZADD', KEYS[number], now + ARGV[1], ARGV[number + 1])
    redis.call('EXPIRE', KEYS[number], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZCARD', KEYS[1])
"""


class SharedCounts:
    """`name` keeps the counts apart from those of others; `replica` is an id of this process."""

    def __init__(self, redis: RedisWithCircuitBreaker, name: str, replica: str) -> None:
        self._redis, self._prefix, self._replica = redis, f"parley:{name}:", replica
        self._opens = Batcher(self._open, max_keys=_MAX_BATCH)
        self._closes = Batcher(self._close, max_keys=_MAX_BATCH)

    async def add(self, numbers: Mapping[Counted, int]) -> Mapping[Counted, int] | None:
        """Add to the counts, and return what each is then; None if Redis does not reply."""

        async def add(redis: Redis) -> Sequence[int]:
            async with redis.pipeline(transaction=False) as pipeline:
                for (subject, window), number in numbers.items():
                    key = self._key(subject, window)
                    pipeline.incrby(key, number)
                    pipeline.expire(key, _KEPT_SECONDS)
                replies = await pipeline.execute()
            return [int(reply) for reply in replies[::2]]

        totals = await self._redis.call(add)
        return None if totals is None else dict(zip(numbers, totals, strict=True))

    async def count_in(self, subject: str, window: int) -> int | None:
        """How many were counted in the window; None if Redis does not reply."""
        key = self._key(subject, window)

        async def read(redis: Redis) -> int:
            return int(await redis.get(key) or 0)

        return await self._redis.call(read)

    async def count_open(self, subject: str) -> int | None:
        """How many are open; None if Redis does not reply."""
        key = self._key(subject)

        async def read(redis: Redis) -> int:
            return int(await redis.zcard(key))

        return await self._redis.call(read)

    async def open(self, subject: str, id: str, limit: int) -> bool | None:
        """Open a thing, if fewer than `limit` are; None if Redis does not reply."""
        return await self._opens.get((subject, id, limit))

    async def close(self, subject: str, id: str) -> None:
        await self._closes.get((subject, id))

    async def renew(self, opened: Iterable[tuple[str, str]]) -> int | None:
        """Renew what is open here, (subject, id), and this replica, before they expire.

        Returns the number of replicas; None if Redis does not reply.
        """
        pairs = [(f"{self._prefix}replicas", self._replica)]
        pairs += [(self._key(subject), id) for subject, id in opened]
        keys, ids = [key for key, _ in pairs], [id for _, id in pairs]
        replicas = await self._redis.call(
            lambda redis: redis.eval(_RENEW, len(keys), *keys, EXPIRY_SECONDS, *ids)
        )
        return None if replicas is None else int(replicas)

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _open(
        self, things: Sequence[tuple[str, str, int]]
    ) -> Mapping[tuple[str, str, int], bool | None]:
        async def open_all(redis: Redis) -> Sequence[int]:
            async with redis.pipeline(transaction=False) as pipeline:
                for subject, id, limit in things:
                    pipeline.eval(_OPEN, 1, self._key(subject), limit, EXPIRY_SECONDS, id)
                return [int(opened) for opened in await pipeline.execute()]

        opened = await self._redis.call(open_all)
        if opened is None:
            return dict.fromkeys(things)
        return dict(zip(things, map(bool, opened), strict=True))

    async def _close(self, things: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], None]:
        async def close_all(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for subject, id in things:
                    pipeline.zrem(self._key(subject), id)
                await pipeline.execute()

        await self._redis.call(close_all)
        return dict.fromkeys(things)

    def _key(self, subject: str, window: int | None = None) -> str:
        """A digest: names of people have any length, and need not be known to Redis."""
        digest = sha256(subject.encode()).hexdigest()[:32]
        return f"{self._prefix}{digest}" + ("" if window is None else f":{window}")
