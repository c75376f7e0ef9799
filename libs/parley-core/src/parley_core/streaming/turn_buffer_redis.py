"""Turn buffers in Redis: one stream per turn, limited to commands of Redis 6.2.

A single Lua script serves many buffers: a pipeline would cost this process twice the CPU time.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.streaming.turn_buffer import BufferEntry, TurnBufferReader

# Arguments per buffer: whether to create it, its TTL, the number of entries, the entries.
# IDs only grow: an ID that Redis rejects as too small was written before.
_WRITE = """
local at, outcomes = 1, {}
for number, name in ipairs(KEYS) do
    local create, ttl, entries = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    at = at + 3
    outcomes[number] = 'w'
    for _ = 1, entries do
        local added
        if create == '1' then
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
    if ttl ~= '' then redis.call('EXPIRE', name, ttl) end
end
return table.concat(outcomes)
"""

# Returns, for entries after an ID: the buffer's number in KEYS, the entry's ID, the entry.
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

WriteOutcome = Literal["written", "gone", "unknown"]
"""`gone`: the buffer does not exist. `unknown`: the entries may or may not have been written."""

_OUTCOMES: dict[int, WriteOutcome] = {ord("w"): "written", ord("g"): "gone", ord("u"): "unknown"}


@dataclass(frozen=True, slots=True)
class BufferWrite:
    """Entries to append to a buffer, which must exist unless `create` is set.

    `ttl_seconds` sets the buffer's expiry; 0 deletes it.
    """

    name: str
    entries: Sequence[BufferEntry] = ()
    create: bool = False
    ttl_seconds: int | None = None


class TurnBuffers:
    """Reads and writes turn buffers. Writes are idempotent: repeating an entry changes nothing."""

    def __init__(self, redis: RedisWithCircuitBreaker) -> None:
        self._redis = redis

    @property
    def is_open(self) -> bool:
        """Whether the circuit breaker skips calls for now."""
        return self._redis.is_open

    @property
    def failures(self) -> int:
        return self._redis.failures

    async def write(self, writes: Sequence[BufferWrite]) -> Sequence[WriteOutcome]:
        """Write in one round trip; return the outcome of each write."""
        arguments = [argument for write in writes for argument in _arguments(write)]
        reply = await self._eval(_WRITE, [write.name for write in writes], arguments)
        if reply is None:
            return ["unknown"] * len(writes)
        outcomes = [_OUTCOMES[letter] for letter in reply]
        if "unknown" in outcomes:
            self._redis.trip(ResponseError())
        return outcomes

    async def read(
        self, readers: Sequence[TurnBufferReader], max_entries: int
    ) -> Sequence[Sequence[BufferEntry]] | None:
        """Read up to `max_entries` next entries of each buffer, in one round trip.

        None when Redis does not reply. A buffer that does not exist has no entries.
        """
        names = [reader.name for reader in readers]
        reply = await self._eval(
            _READ, names, [max_entries, *(f"({each.last_id}" for each in readers)]
        )
        if reply is None:
            return None
        found: list[list[BufferEntry]] = [[] for _ in readers]
        for number, entry_id, sealed in zip(*[iter(reply)] * 3, strict=True):
            found[number - 1].append(BufferEntry(entry_id.decode(), sealed))
        return found

    async def read_all(self, reader: TurnBufferReader, max_entries: int) -> str:
        """Read all text that is available now, `max_entries` per round trip."""
        texts, more = [], True
        while more and not reader.corrupt:
            [entries] = await self.read([reader], max_entries) or [()]
            texts.append(reader.apply(entries))
            more = len(entries) == max_entries
        return "".join(texts)

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _eval(self, script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        def evaluate(redis: Redis) -> Awaitable[Any]:
            return redis.eval(script, len(names), *names, *arguments)

        return await self._redis.call(evaluate)


def _arguments(write: BufferWrite) -> list[Any]:
    ttl = "" if write.ttl_seconds is None else write.ttl_seconds
    return [
        int(write.create),
        ttl,
        len(write.entries),
        *(part for entry in write.entries for part in entry),
    ]
