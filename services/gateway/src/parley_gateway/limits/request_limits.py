"""Request limits: the requests of a minute and the open streams of a person (ADR 49).

All gateways count together in Redis. While it does not reply, each admits its share by itself: the
limit, divided by the number of gateways that were known last.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from uuid import uuid4

from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded, rate_limit_headers
from parley_core.limits.rules import BUDGETS, COMPLETION_LIMITS, Limit, LimitName, LimitRules
from parley_core.storage.shared_counts import RENEW_SECONDS, SharedCounts
from parley_gateway.limits.counted_requests import CountedRequests, Decision, SubjectLimit
from parley_gateway.limits.limit_metrics import LimitMetrics

_MAX_CACHED = 10_000


class RequestLimits:
    """Counts for each person, and for an API key or a tenant whose rule says so."""

    def __init__(
        self,
        rules: LimitRules,
        metrics: LimitMetrics,
        shared: SharedCounts | None = None,
    ) -> None:
        """Without `shared` counts each gateway counts for itself."""
        self._rules, self._shared, self._metrics = rules, shared, metrics
        self.requests = CountedRequests(shared, metrics)
        # Ids of the open streams of this process, by subject.
        self._open: dict[str, set[str]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        # Naming a subject takes longer than counting a request.
        self._cached_limits = lru_cache(_MAX_CACHED)(self._limits_by_name)

    def limits_completions(self, principal: Principal, model: str) -> bool:
        """Whether session must admit a completion without a session."""
        return any(limit.name in COMPLETION_LIMITS for limit in self._rules.of(principal, model))

    def has_budget(self, principal: Principal, model: str) -> bool:
        return any(limit.name in BUDGETS for limit in self._rules.of(principal, model))

    async def count_request(self, principal: Principal) -> Mapping[str, str]:
        """Count a request, and return the headers of its response.

        Raises LimitExceeded, with the same headers; the caller who responds with it counts it.
        """
        limits = self._limits("requests_per_minute", principal)
        if not limits:
            return {}
        decision = await self.requests.count(limits)
        if decision.remaining < 0:
            raise _refusal(decision.limit, decision.reset_seconds, _headers(decision))
        return _headers(decision)

    def count_request_now(self, principal: Principal) -> Mapping[str, str] | None:
        """Like `count_request`; None, without counting, if it cannot be admitted at once."""
        limits = self._limits("requests_per_minute", principal)
        if not limits:
            return {}
        decision = self.requests.count_now(limits)
        return None if decision is None or decision.remaining < 0 else _headers(decision)

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
            share = math.ceil(limit.value / self.requests.gateways)
            opened = len(self._open.get(subject, ())) < share
        if not opened:
            self._metrics.refused.labels(limit.name).inc()
            raise _refusal(limit, 1, {})
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
        found: list[tuple[Limit, int, float | None]] = []
        for limit, subject in self._limits("requests_per_minute", principal):
            found.append((limit, *await self.requests.used(limit, subject)))
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
                    self.requests.gateways = gateways
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            # They would open connections again.
            await asyncio.gather(*self._closing, return_exceptions=True)
            await self.requests.finish()
            await self._shared.aclose()

    def _limits(self, name: LimitName, principal: Principal) -> Sequence[SubjectLimit]:
        # Principals are equal whatever their credentials are.
        key = principal, principal.credential.limits, self._rules.revision
        return self._cached_limits(*key).get(name, ())

    def _limits_by_name(
        self, principal: Principal, *_key: object
    ) -> Mapping[LimitName, Sequence[SubjectLimit]]:
        """The limits of a person by name, with their subjects; `_key` is for the cache alone."""
        named: dict[LimitName, list[SubjectLimit]] = {}
        for limit in self._rules.of(principal):
            subject = f"{principal.tenant} {limit.subject(principal.user)}"
            named.setdefault(limit.name, []).append((limit, subject))
        return named


def _refusal(limit: Limit, retry_after_seconds: float, headers: Mapping[str, str]) -> LimitExceeded:
    refusal = LimitExceeded(limit, retry_after_seconds)
    refusal.headers |= headers
    return refusal


def _headers(decision: Decision) -> Mapping[str, str]:
    value = decision.limit.value
    return rate_limit_headers("requests", value, value - decision.remaining, decision.reset_seconds)
