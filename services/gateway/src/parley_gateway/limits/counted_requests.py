"""Counts the requests of a minute over all gateways, mostly without waiting for Redis.

A gateway takes a number of requests from what is left of a limit, and admits them by itself. It
takes as many as wait, and ahead of need a few percent of the limit: these before they are used up,
so that only a person who has a low limit, or is near the end of theirs, waits for Redis.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from parley_core.limits.rules import Limit
from parley_core.runtime.batcher import Batcher
from parley_core.storage.shared_counts import WINDOW_SECONDS, SharedCounts
from parley_gateway.limits.limit_metrics import LimitMetrics
from parley_gateway.limits.minute_count import MinuteCount

SubjectLimit = tuple[Limit, str]
"""A limit, and the name of what it counts."""

# How long each gateway admits its share by itself, before it asks Redis again.
RETRY_SECONDS = 1.0
# Bounds the memory; beyond it, this process forgets what it has counted in the minute.
_MAX_COUNTED = 100_000
_MAX_BATCH = 500

_Key = tuple[str, int]
"""What is counted, and the number of the minute."""


class Decision(NamedTuple):
    """`remaining` of the limit of which the least is left; negative: the request is refused."""

    limit: Limit
    remaining: int
    reset_seconds: float


class CountedRequests:
    """`gateways` is the number of gateways that share the limits."""

    def __init__(self, shared: SharedCounts | None, metrics: LimitMetrics) -> None:
        """Without `shared` counts each gateway counts for itself."""
        self.gateways = 1
        self._shared, self._metrics = shared, metrics
        self._window = 0
        self._counts: dict[str, MinuteCount] = {}
        self._takes = Batcher(self._take, max_keys=_MAX_BATCH)
        self._taking: dict[_Key, asyncio.Task[None]] = {}

    async def count(self, limits: Sequence[SubjectLimit]) -> Decision:
        """Count a request, unless it is refused."""
        while (decision := self.count_now(limits)) is None:
            # One after the other: what a person may not do takes nothing from their tenant.
            for limit, subject in limits:
                count = self._count_of(subject)
                if count.admits(limit.value, self.gateways, _now()) is None:
                    await self._ask(count, limit, subject)
                    break
        return decision

    def count_now(self, limits: Sequence[SubjectLimit]) -> Decision | None:
        """Like `count`; None, without counting, if Redis must be asked first."""
        now, gateways = _now(), self.gateways
        self._begin_minute(now)
        reset_seconds = (self._window + 1) * WINDOW_SECONDS - now
        is_known = True
        for limit, subject in limits:
            admits = self._count_of(subject).admits(limit.value, gateways, now)
            if admits is False:
                return Decision(limit, -1, reset_seconds)
            is_known = is_known and admits is True
        if not is_known:
            return None
        decision = None
        for limit, subject in limits:
            count = self._count_of(subject)
            if not count.left and count.is_alone(now):
                self._metrics.degraded.inc()
            count.count()
            if count.needs_more(limit.value, gateways, now):
                self._take_ahead(count, limit, subject)
            remaining = count.remaining(limit.value, gateways, now)
            if decision is None or remaining < decision.remaining:
                decision = Decision(limit, remaining, reset_seconds)
        return decision

    async def used(self, limit: Limit, subject: str) -> tuple[int, float]:
        """What was used of a limit, and when the minute ends, in Unix time; without counting."""
        self._begin_minute(_now())
        window, count = self._window, self._counts.get(subject, MinuteCount())
        total = await self._shared.count_in(subject, window) if self._shared else None
        used = count.admitted if total is None else total - count.left + count.owed
        # More may have been asked for than there was.
        return min(used, limit.value), (window + 1) * WINDOW_SECONDS

    async def finish(self) -> None:
        """Wait until nothing is asked of Redis ahead of need."""
        await asyncio.gather(*self._taking.values(), return_exceptions=True)

    def _begin_minute(self, now: float) -> None:
        window = int(now // WINDOW_SECONDS)
        if window != self._window or len(self._counts) >= _MAX_COUNTED:
            self._window, self._counts = window, {}

    def _count_of(self, subject: str) -> MinuteCount:
        count = self._counts.get(subject)
        if count is None:
            count = MinuteCount(alone_until=math.inf if self._shared is None else 0.0)
            self._counts[subject] = count
        return count

    def _take_ahead(self, count: MinuteCount, limit: Limit, subject: str) -> None:
        key = subject, self._window
        if key not in self._taking:
            count.limit = limit.value
            task = self._taking[key] = asyncio.create_task(self._takes.get(key))
            task.add_done_callback(lambda _: self._taking.pop(key))

    async def _ask(self, count: MinuteCount, limit: Limit, subject: str) -> None:
        count.limit = limit.value
        count.waiting += 1
        try:
            await self._takes.get((subject, self._window))
        finally:
            count.waiting -= 1

    async def _take(self, keys: Sequence[_Key]) -> Mapping[_Key, None]:
        """Take what is wanted from Redis, in one round trip."""
        assert self._shared is not None
        # In another minute the requests ask again.
        counts = {key: self._count_of(key[0]) for key in keys if key[1] == self._window}
        wanted = {key: count.wanted(self.gateways) for key, count in counts.items()}
        owed = {key: count.owed for key, count in counts.items()}
        totals = await self._shared.add({key: wanted[key] + owed[key] for key in counts})
        for key, count in counts.items():
            if totals is None:
                count.alone_until = _now() + RETRY_SECONDS
            elif totals[key] - wanted[key] - owed[key] < count.taken:
                # It was flushed: what the other gateways had taken is unknown.
                count.alone_until = math.inf
            else:
                count.grant(wanted[key], owed[key], totals[key], self.gateways)
        return dict.fromkeys(keys)


def _now() -> float:
    return time.time()
