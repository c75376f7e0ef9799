"""Counts the requests of a minute over all gateways, mostly without asking Redis.

A gateway takes a number of requests from what is left of a limit, and admits them by itself. It
takes as many as wait, and ahead of need a part of what it has admitted in this minute: what one
gateway has left over, when the others are refused, is a few percent.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parley_core.limits.rules import Limit
from parley_core.runtime.batcher import Batcher
from parley_core.storage.shared_counts import WINDOW_SECONDS, SharedCounts
from parley_gateway.limits.limit_metrics import LimitMetrics

SubjectLimit = tuple[Limit, str]
"""A limit, and the name of what it counts."""

# Taken ahead of need: at most an eighth of what this gateway has admitted, and a quarter of its
# share of what is left.
_PART_OF_ADMITTED, _PART_OF_SHARE = 8, 4
# How long each gateway admits its share by itself, before it asks Redis again.
RETRY_SECONDS = 1.0
# Bounds the memory; beyond it, this process forgets what it has counted in the minute.
_MAX_COUNTED = 100_000
_MAX_BATCH = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """`remaining` of the limit of which the least is left; negative: the request is refused."""

    limit: Limit
    remaining: int
    reset_seconds: float


class _Minute:
    """By subject: what was admitted here, taken from Redis, and is left of that.

    `total` is what all gateways had taken, as of the last reply. `exhausted` has the limits of
    which nothing is left. Redis is not asked about a subject in `alone` until that time, and does
    not know yet of what is `owed`.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.admitted: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.exhausted: dict[str, int] = {}
        self.alone: dict[str, float] = {}
        self.owed: Counter[str] = Counter()


class CountedRequests:
    """`gateways` is the number of gateways that share the limits."""

    def __init__(
        self,
        shared: SharedCounts | None,
        metrics: LimitMetrics,
    ) -> None:
        """Without `shared` counts each gateway counts for itself."""
        self.gateways = 1
        self._shared, self._metrics = shared, metrics
        self._minute = _Minute(0)
        self._limits: dict[str, int] = {}
        self._waiting: Counter[str] = Counter()
        self._takes = Batcher(self._take, max_keys=_MAX_BATCH)

    async def count(self, limits: Sequence[SubjectLimit]) -> Decision:
        """Count a request, unless it is refused."""
        while True:
            minute, _ = self._current()
            counted: list[tuple[str, bool]] = []
            for limit, subject in limits:
                # One after the other: what a person may not do takes nothing from their tenant.
                await self._wait_for_answer(limit, subject, minute)
                if self._is_refused(limit, subject, minute):
                    self._uncount(counted, minute)
                    break
                counted.append((subject, self._count_one(subject, minute)))
            if self._current()[0] is minute:
                refused = limits[len(counted)][0] if len(counted) < len(limits) else None
                return self._decision(limits, refused)
            # The minute ended meanwhile: the request belongs to the next one.

    def count_now(self, limits: Sequence[SubjectLimit]) -> Decision | None:
        """Like `count`; None if Redis must be asked first."""
        minute, _ = self._current()
        for limit, subject in limits:
            if self._is_refused(limit, subject, minute):
                return self._decision(limits, limit)
        if any(self._is_unknown(subject, minute) for _, subject in limits):
            return None
        for _, subject in limits:
            self._count_one(subject, minute)
        return self._decision(limits)

    async def used(self, limit: Limit, subject: str) -> tuple[int, float]:
        """What was used of a limit, and when the minute ends, in Unix time; without counting."""
        minute, _ = self._current()
        total = await self._shared.count_in(subject, minute.window) if self._shared else None
        used = minute.admitted[subject] if total is None else total - minute.left[subject]
        # More may have been asked for than there was.
        return min(used, limit.value), (minute.window + 1) * WINDOW_SECONDS

    def _is_unknown(self, subject: str, minute: _Minute) -> bool:
        return not minute.left[subject] and not self._is_alone(subject, minute)

    def _is_alone(self, subject: str, minute: _Minute) -> bool:
        if self._shared is None:
            return True
        until = minute.alone.get(subject)
        return until is not None and _now() < until

    def _is_refused(self, limit: Limit, subject: str, minute: _Minute) -> bool:
        if minute.left[subject]:
            return False
        if self._is_alone(subject, minute):
            return minute.admitted[subject] >= math.ceil(limit.value / self.gateways)
        return minute.exhausted.get(subject) == limit.value

    def _count_one(self, subject: str, minute: _Minute) -> bool:
        """Whether Redis knows of it."""
        minute.admitted[subject] += 1
        if minute.left[subject]:
            minute.left[subject] -= 1
            return True
        self._metrics.degraded.inc()
        minute.owed[subject] += 1
        return False

    def _uncount(self, counted: Sequence[tuple[str, bool]], minute: _Minute) -> None:
        for subject, is_known in counted:
            minute.admitted[subject] -= 1
            (minute.left if is_known else minute.owed)[subject] += 1 if is_known else -1

    def _decision(self, limits: Sequence[SubjectLimit], refused: Limit | None = None) -> Decision:
        minute, reset_seconds = self._current()
        if refused is not None:
            return Decision(refused, -1, reset_seconds)
        decisions = [
            Decision(limit, self._remaining(limit, subject, minute), reset_seconds)
            for limit, subject in limits
        ]
        return min(decisions, key=lambda decision: decision.remaining)

    def _remaining(self, limit: Limit, subject: str, minute: _Minute) -> int:
        if self._is_alone(subject, minute):
            # As if the other gateways had admitted as many.
            return max(0, limit.value - minute.admitted[subject] * self.gateways)
        return max(0, limit.value - minute.total[subject] + minute.left[subject])

    async def _wait_for_answer(self, limit: Limit, subject: str, minute: _Minute) -> None:
        """Ask Redis until it is known whether a request is admitted, or the minute has ended."""
        while (
            self._is_unknown(subject, minute)
            and not self._is_refused(limit, subject, minute)
            and self._current()[0] is minute
        ):
            await self._ask(subject, limit.value, minute)

    async def _ask(self, subject: str, limit: int, minute: _Minute) -> None:
        self._limits[subject] = limit
        self._waiting[subject] += 1
        try:
            await self._takes.get((subject, minute.window))
        finally:
            self._waiting[subject] -= 1
            if not self._waiting[subject]:
                del self._waiting[subject], self._limits[subject]

    async def _take(self, keys: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], None]:
        """Take from Redis for all who wait, in one round trip."""
        assert self._shared is not None
        minute = self._minute
        wanted = {key: self._wanted(key[0]) for key in keys}
        owed = {key: minute.owed[key[0]] for key in keys}
        totals = await self._shared.add({key: wanted[key] + owed[key] for key in keys})
        for key in keys:
            subject, window = key
            if window != minute.window:
                continue
            if totals is None:
                minute.alone[subject] = _now() + RETRY_SECONDS
            elif totals[key] - wanted[key] - owed[key] < minute.taken[subject]:
                # It was flushed: what the other gateways had taken is unknown.
                minute.alone[subject] = math.inf
            else:
                minute.owed[subject] -= owed[key]
                self._grant(subject, wanted[key], wanted[key] + owed[key], totals[key], minute)
        return dict.fromkeys(keys)

    def _grant(self, subject: str, wanted: int, added: int, total: int, minute: _Minute) -> None:
        limit = self._limits.get(subject, 0)
        granted = min(wanted, max(0, limit - (total - wanted)))
        minute.taken[subject] += added
        minute.left[subject] += granted
        minute.total[subject] = min(limit, total)
        if granted < wanted:
            minute.exhausted[subject] = limit

    def _wanted(self, subject: str) -> int:
        minute = self._minute
        rest = max(0, self._limits.get(subject, 0) - minute.total[subject])
        ahead = min(
            minute.admitted[subject] // _PART_OF_ADMITTED,
            rest // (_PART_OF_SHARE * self.gateways),
        )
        return max(1, self._waiting[subject] + ahead)

    def _current(self) -> tuple[_Minute, float]:
        now = _now()
        window = int(now // WINDOW_SECONDS)
        if window != self._minute.window or len(self._minute.admitted) >= _MAX_COUNTED:
            self._minute = _Minute(window)
        return self._minute, (window + 1) * WINDOW_SECONDS - now


def _now() -> float:
    return time.time()
