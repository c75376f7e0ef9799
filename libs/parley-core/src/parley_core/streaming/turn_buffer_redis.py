"""The buffers of turns in Redis: a stream of each, with commands that Redis 6.2 has.

One script does it for many buffers at once: a pipeline would cost this process twice the time.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer import Entry, TurnBufferReader

# Of each buffer: whether to make it, for how long to keep it, its entries' number, and those.
# An id only grows: one that is refused as too small was written before.
_WRITE = """
local at, outcomes = 1, {}
for number, name in ipairs(KEYS) do
    local makes, keep, entries = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    at = at + 3
    outcomes[number] = 'w'
    for _ = 1, entries do
        local added
        if makes == '1' then
            added = redis.pcall('XADD', name, ARGV[at], 's', ARGV[at + 1])
        else
            added = redis.pcall('XADD', name, 'NOMKSTREAM', ARGV[at], 's', ARGV[at + 1])
        end
        if not added then
            outcomes[number] = 'g'
        elseif added.err and not added.err:find('equal or smaller', 1, true) then
            outcomes[number] = 'u'
        end
        at = at + 2
    end
    if keep ~= '' then redis.call('EXPIRE', name, keep) end
end
return table.concat(outcomes)
"""

# Of each buffer what follows an id: its number here, the entry's id, and the entry.
_READ = """
local found = {}
for number, name in ipairs(KEYS) do
    local entries = redis.call('XRANGE', name, ARGV[number + 1], '+', 'COUNT', ARGV[1])
    for _, entry in ipairs(entries) do
        found[#found + 1] = number
        found[#found + 1] = entry[1]
        found[#found + 1] = entry[2][2]
    end
end
return found
"""

Outcome = Literal["written", "gone", "unknown"]
"""`gone` is a buffer that is not there; `unknown` may have been written or not."""

_OUTCOMES: dict[int, Outcome] = {ord("w"): "written", ord("g"): "gone", ord("u"): "unknown"}


@dataclass(frozen=True, slots=True)
class Write:
    """Entries to append to the buffer of that name; one that `makes` it need not find it there.

    It is then kept for `keep_seconds`, where they are given; 0 drops it at once.
    """

    name: str
    entries: Sequence[Entry] = ()
    makes: bool = False
    keep_seconds: int | None = None


class TurnBuffers:
    """An entry that is there already may be written again: that changes nothing."""

    def __init__(self, redis: RedisWithCircuitBreaker) -> None:
        self._redis = redis

    @property
    def rests(self) -> bool:
        return self._redis.rests

    @property
    def failed(self) -> int:
        return self._redis.failed

    async def write(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        """In one round trip; what came of each."""
        given = [part for write in writes for part in _parts(write)]
        answer = await self._eval(_WRITE, [write.name for write in writes], given)
        if answer is None:
            return ["unknown"] * len(writes)
        outcomes = [_OUTCOMES[letter] for letter in answer]
        if "unknown" in outcomes:
            self._redis.rest(ResponseError())
        return outcomes

    async def read(
        self, readings: Sequence[TurnBufferReader], most: int
    ) -> Sequence[Sequence[Entry]] | None:
        """What each buffer has next, `most` entries of it, in one round trip.

        None when Redis does not answer. A buffer that is not there has nothing.
        """
        names = [reading.name for reading in readings]
        answer = await self._eval(_READ, names, [most, *(f"({each.seen}" for each in readings)])
        if answer is None:
            return None
        found: list[list[Entry]] = [[] for _ in readings]
        for number, entry_id, sealed in zip(*[iter(answer)] * 3, strict=True):
            found[number - 1].append(Entry(entry_id.decode(), sealed))
        return found

    async def read_all(self, reading: TurnBufferReader, most: int) -> str:
        """All the text that can be had now, `most` entries at once."""
        texts, more = [], True
        while more and not reading.broken:
            [entries] = await self.read([reading], most) or [()]
            texts.append(reading.take(entries))
            more = len(entries) == most
        return "".join(texts)

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _eval(self, script: str, names: Sequence[str], given: Sequence[Any]) -> Any:
        def evaluated(redis: Redis) -> Awaitable[Any]:
            return redis.eval(script, len(names), *names, *given)

        return await self._redis.call(evaluated)


def _parts(write: Write) -> list[Any]:
    keep = "" if write.keep_seconds is None else write.keep_seconds
    return [int(write.makes), keep, len(write.entries), *(p for e in write.entries for p in e)]
