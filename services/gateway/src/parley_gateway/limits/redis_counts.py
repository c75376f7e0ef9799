"""Opens the counts that the gateways share in Redis."""

import logging
from uuid import uuid4

from parley_core.process.process_monitor import ProcessMonitor
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.shared_counts import SharedCounts

# A reply takes under a millisecond, but the time that this process needs to read it counts as well:
# a shorter timeout would skip Redis whenever the event loop is busy.
REDIS_TIMEOUT_SECONDS = 0.05
REDIS_OPEN_SECONDS = 1.0
# One batch of requests at a time, and the streams that open and close.
_REDIS_CONNECTIONS = 4

log = logging.getLogger(__name__)


def redis_counts(redis_url: str | None, monitor: ProcessMonitor) -> SharedCounts | None:
    if redis_url is None:
        log.warning("PARLEY_REDIS_URL is not set: each gateway limits requests for itself")
        return None
    redis = RedisWithCircuitBreaker(
        redis_url,
        timeout_seconds=REDIS_TIMEOUT_SECONDS,
        open_seconds=REDIS_OPEN_SECONDS,
        max_connections=_REDIS_CONNECTIONS,
        on_result=monitor.dependencies["redis"].report,
    )
    return SharedCounts(redis, "gateway", uuid4().hex)
