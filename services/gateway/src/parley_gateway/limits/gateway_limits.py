"""Composes the limits of a gateway: rules, counts in Redis, and the headers of responses."""

import logging
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from starlette.requests import Request
from starlette.types import ASGIApp

from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded
from parley_core.limits.rules import LimitRules
from parley_core.limits.rules_file import read_limit_rules
from parley_core.process.process_monitor import ProcessMonitor
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.redis_settings import RedisSettings
from parley_core.storage.shared_counts import SharedCounts
from parley_gateway.auth.authenticator import OnRequest
from parley_gateway.limits.limit_headers import LimitHeaders, set_limit_headers
from parley_gateway.limits.limit_metrics import LimitMetrics
from parley_gateway.limits.request_limits import RequestLimits

# A reply takes under a millisecond, but the time that this process needs to read it counts as well:
# a shorter timeout would skip Redis whenever the event loop is busy.
REDIS_TIMEOUT_SECONDS = 0.05
REDIS_OPEN_SECONDS = 1.0
# One batch of requests at a time, and the streams that open and close.
_REDIS_CONNECTIONS = 16

log = logging.getLogger(__name__)


class GatewayLimits:
    """Without a `file` a request costs nothing: neither a call nor a middleware."""

    def __init__(
        self,
        file: Path | None,
        rules: LimitRules,
        requests: RequestLimits,
        metrics: LimitMetrics,
    ) -> None:
        self._file, self._rules, self.requests = file, rules, requests
        self._metrics = metrics

    @property
    def on_request(self) -> OnRequest | None:
        """Counts an authenticated request."""
        return None if self._file is None else self._count

    def with_headers(self, app: ASGIApp) -> ASGIApp:
        return app if self._file is None else LimitHeaders(app)

    def replacement(self, file: Path | None) -> Callable[[], None]:
        """Read the rules of the file; the result applies them. Raises InvalidSettings."""
        rules = read_limit_rules(file)
        return lambda: self._rules.replace(rules)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self.requests.run()

    async def _count(self, request: Request, principal: Principal) -> None:
        try:
            headers = await self.requests.count_request(principal)
        except LimitExceeded as exceeded:
            self._metrics.refused.labels(exceeded.param).inc()
            raise
        set_limit_headers(request.scope, headers)


def gateway_limits(
    file: Path | None, redis: RedisSettings, monitor: ProcessMonitor
) -> GatewayLimits:
    """Raises InvalidSettings."""
    rules = read_limit_rules(file)
    shared = None if file is None else _redis_counts(redis, monitor)
    metrics = LimitMetrics(monitor.registry)
    return GatewayLimits(file, rules, RequestLimits(rules, metrics, shared), metrics)


def _redis_counts(settings: RedisSettings, monitor: ProcessMonitor) -> SharedCounts | None:
    if settings.url is None:
        log.warning("PARLEY_REDIS_URL is not set: each gateway limits requests for itself")
        return None
    redis = RedisWithCircuitBreaker(
        lambda: settings.current_url,
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        open_seconds=REDIS_OPEN_SECONDS,
        max_connections=_REDIS_CONNECTIONS,
        on_result=monitor.dependencies["redis"].report,
    )
    return SharedCounts(redis, "gateway", uuid4().hex)
