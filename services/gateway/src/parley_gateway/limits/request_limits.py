"""Request limits: the requests of a minute and the open streams of a person (ADR 49).

All gateways count together in Redis. While it does not reply, each admits its share by itself: the
limit, divided by the number of gateways that were known last.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded, rate_limit_headers
from parley_core.limits.rules import COMPLETION_LIMITS, Limit, LimitName, LimitRules
from parley_core.storage.shared_counts import RENEW_SECONDS, WINDOW_SECONDS, SharedCounts
from parley_gateway.limits.limit_metrics import LimitMetrics

# Bounds the memory; beyond it, this process forgets what it has counted in the minute.
_MAX_COUNTED = 100_000


class RequestLimits:
    """Counts for each person, and for an API key or a tenant whose rule says so."""

    def __init__(
        self,
        rules: LimitRules,
        metrics: LimitMetrics,
        shared: SharedCounts | None = None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Without `shared` counts each gateway counts for itself."""
        self._rules, self._shared, self._metrics = rules, shared, metrics
        self._clock = clock or _now
        self._gateways = 1
        self._window = 0
        # Of the window: how many this process admitted, the limits that are used up, and the
        # subjects of which Redis does not know all.
        self._admitted: Counter[str] = Counter()
        self._used_up: dict[str, int] = {}
        self._counted_alone: set[str] = set()
        # Ids of the open streams of this process, by subject.
        self._open: dict[str, set[str]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def limits_requests(self, principal: Principal) -> bool:
        return bool(self._limits("requests_per_minute", principal))

    def limits_completions(self, principal: Principal, model: str) -> bool:
        """Whether session must admit a completion without a session."""
        return any(limit.name in COMPLETION_LIMITS for limit in self._rules.of(principal, model))

    async def count_request(self, principal: Principal) -> Mapping[str, str]:
        """Count a request, and return the headers of its response.

        Raises LimitExceeded, with the same headers.
        """
        limits = self._limits("requests_per_minute", principal)
        if not limits:
            return {}
        window, reset_seconds = self._current_window()
        exceeded = [limit for limit, subject in limits if self._used_up.get(subject) == limit.value]
        if exceeded:
            # None of the others is counted.
            raise self._refusal(exceeded[0], reset_seconds, _headers(exceeded[0], reset_seconds))
        # Those of one person and of a tenant, in one round trip.
        counted = await asyncio.gather(
            *(self._count_together(subject, window) for _, subject in limits)
        )
        # From here on nothing is awaited: of requests that come at once, each sees those before it.
        remaining = [
            self._remaining(limit.value, subject, used, window)
            for (limit, subject), used in zip(limits, counted, strict=True)
        ]
        tightest = remaining.index(min(remaining))
        limit = limits[tightest][0]
        headers = _headers(limit, reset_seconds, remaining[tightest])
        if remaining[tightest] < 0:
            raise self._refusal(limit, reset_seconds, headers)
        if window == self._window:
            self._admitted.update(subject for _, subject in limits)
        return headers

    def _remaining(self, limit: int, subject: str, used: int | None, window: int) -> int:
        """What is left after the request; negative if it is refused. `used` is None if unknown."""
        if used is None:
            self._metrics.degraded.inc()
            here = self._admitted[subject] + 1
            # As if the other gateways had admitted as many.
            used = limit + 1 if here > self._share(limit) else min(limit, here * self._gateways)
        if used > limit and window == self._window:
            # Asked again, Redis would only count higher.
            self._used_up[subject] = limit
        return limit - used

    async def _count_together(self, subject: str, window: int) -> int | None:
        """None if Redis does not reply, or did not, or was flushed, in this window."""
        if self._shared is None or subject in self._counted_alone:
            return None
        admitted_before = self._admitted[subject]
        used = await self._shared.increment(subject, window)
        # Asked again: of requests that were counted at once, an earlier one may have found a flush.
        trusted = subject not in self._counted_alone
        if trusted and used is not None and used > admitted_before:
            return used
        if window == self._window:
            self._counted_alone.add(subject)
        return None

    @asynccontextmanager
    async def stream(self, principal: Principal) -> AsyncIterator[None]:
        """A stream of the person is open during the block. Raises LimitExceeded."""
        async with AsyncExitStack() as opened:
            for limit, subject in self._limits("open_streams", principal):
                await opened.enter_async_context(self._counted_stream(limit, subject))
            yield

    @asynccontextmanager
    async def _counted_stream(self, limit: Limit, subject: str) -> AsyncIterator[None]:
        id = uuid4().hex
        opened = await self._shared.open(subject, id, limit.value) if self._shared else None
        if opened is None:
            self._metrics.degraded.inc()
            opened = len(self._open.get(subject, ())) < self._share(limit.value)
        if not opened:
            raise self._refusal(limit, 1, {})
        self._open.setdefault(subject, set()).add(id)
        try:
            yield
        finally:
            self._open[subject].remove(id)
            if not self._open[subject]:
                del self._open[subject]
            if self._shared is not None:
                # In a task of its own: this one may be cancelled, and the client need not wait.
                closing = asyncio.create_task(self._shared.close(subject, id))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def standing(self, principal: Principal) -> Sequence[tuple[Limit, int, float | None]]:
        """Limits with what is used, and when that is reset, in Unix time; without counting."""
        window, _ = self._current_window()
        found: list[tuple[Limit, int, float | None]] = []
        for limit, subject in self._limits("requests_per_minute", principal):
            used = await self._shared.count_in(subject, window) if self._shared else None
            used = self._admitted[subject] if used is None else used
            # Refused requests may have been counted.
            found.append((limit, min(used, limit.value), (window + 1) * WINDOW_SECONDS))
        for limit, subject in self._limits("open_streams", principal):
            used = await self._shared.count_open(subject) if self._shared else None
            found.append((limit, len(self._open.get(subject, ())) if used is None else used, None))
        return found

    async def run(self) -> None:
        """Renew the open streams before they expire, and count the gateways, until cancelled."""
        if self._shared is None:
            return
        try:
            while True:
                opened = [(subject, id) for subject, ids in self._open.items() for id in ids]
                if gateways := await self._shared.renew(opened):
                    self._gateways = gateways
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            await self._shared.aclose()

    def _limits(self, name: LimitName, principal: Principal) -> Sequence[tuple[Limit, str]]:
        """The limits of that name, each with the name of what it counts."""
        return [
            (limit, f"{principal.tenant} {limit.subject(principal.user)}")
            for limit in self._rules.of(principal)
            if limit.name == name
        ]

    def _share(self, limit: int) -> int:
        return math.ceil(limit / self._gateways)

    def _current_window(self) -> tuple[int, float]:
        """The number of the window, and the seconds until it ends."""
        now = self._clock()
        window = int(now // WINDOW_SECONDS)
        if window != self._window or len(self._admitted) >= _MAX_COUNTED:
            self._window = window
            self._admitted.clear()
            self._used_up.clear()
            self._counted_alone.clear()
        return window, (window + 1) * WINDOW_SECONDS - now

    def _refusal(
        self, limit: Limit, retry_after_seconds: float, headers: Mapping[str, str]
    ) -> LimitExceeded:
        self._metrics.refused.labels(limit.name).inc()
        refusal = LimitExceeded(limit, retry_after_seconds)
        refusal.headers |= headers
        return refusal


def _headers(limit: Limit, reset_seconds: float, remaining: int = 0) -> Mapping[str, str]:
    return rate_limit_headers("requests", limit.value, limit.value - remaining, reset_seconds)


def _now() -> float:
    return time.time()
