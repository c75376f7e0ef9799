"""Request limits: the requests of a minute and the open streams of a person (ADR 49).

All gateways count together in Redis. While it does not reply, each admits its share by itself: the
limit, divided by the number of gateways that were known last.
"""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded, rate_limit_headers
from parley_core.limits.rules import COMPLETION_LIMITS, Limit, LimitRules
from parley_core.storage.shared_counts import RENEW_SECONDS, WINDOW_SECONDS, SharedCounts
from parley_gateway.limits.limit_metrics import LimitMetrics

# Bounds the memory; beyond it, this process forgets what it has counted in the minute.
_MAX_COUNTED = 100_000


class RequestLimits:
    """Counts for each person, and for an API key whose rule names it."""

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
        return "requests_per_minute" in self._rules.of(principal)

    def limits_completions(self, principal: Principal, model: str) -> bool:
        """Whether session must admit a completion without a session."""
        return not COMPLETION_LIMITS.isdisjoint(self._rules.of(principal, model))

    async def count_request(self, principal: Principal) -> Mapping[str, str]:
        """Count a request, and return the headers of its response.

        Raises LimitExceeded, with the same headers.
        """
        limit = self._rules.of(principal).get("requests_per_minute")
        if limit is None:
            return {}
        window, reset_seconds = self._current_window()
        subject = _subject(limit, principal)
        used = await self._count(subject, limit.value, window)
        headers = rate_limit_headers("requests", limit.value, used, reset_seconds)
        if used > limit.value:
            raise self._refusal(limit, reset_seconds, headers)
        if window == self._window:
            self._admitted[subject] += 1
        return headers

    async def _count(self, subject: str, limit: int, window: int) -> int:
        """How many requests that makes; more than `limit` if this one is refused."""
        if self._used_up.get(subject) == limit:
            return limit + 1
        used = await self._count_together(subject, window)
        if used is None:
            self._metrics.degraded.inc()
            here = self._admitted[subject] + 1
            # As if the other gateways had admitted as many.
            used = limit + 1 if here > self._share(limit) else min(limit, here * self._gateways)
        if used > limit and window == self._window:
            # Asked again, Redis would only count higher.
            self._used_up[subject] = limit
        return used

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
        limit = self._rules.of(principal).get("open_streams")
        if limit is None:
            yield
            return
        subject, id = _subject(limit, principal), uuid4().hex
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
        limits = self._rules.of(principal)
        requests, streams = limits.get("requests_per_minute"), limits.get("open_streams")
        if requests is None and streams is None:
            return []
        window, _ = self._current_window()
        of_requests = _subject(requests, principal) if requests else ""
        of_streams = _subject(streams, principal) if streams else ""
        used = await self._shared.read(of_requests, window, of_streams) if self._shared else None
        if used is None:
            used = self._admitted[of_requests], len(self._open.get(of_streams, ()))
        found: list[tuple[Limit, int, float | None]] = []
        if requests:
            reset_at = (window + 1) * WINDOW_SECONDS
            found.append((requests, min(used[0], requests.value), reset_at))
        if streams:
            found.append((streams, used[1], None))
        return found

    async def run(self) -> None:
        """Renew the leases of the open streams, and count the gateways, until cancelled."""
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
        refusal = LimitExceeded(limit.name, limit.value, retry_after_seconds, subject=limit.subject)
        refusal.headers |= headers
        return refusal


def _subject(limit: Limit, principal: Principal) -> str:
    """Of an API key all requests count to its person, too, unless the rule names the key."""
    return json.dumps([principal.tenant, principal.user, limit.subject])


def _now() -> float:
    return time.time()
