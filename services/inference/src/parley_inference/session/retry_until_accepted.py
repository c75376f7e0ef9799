"""Retries a call to the session service until it is accepted or rejected for good."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from parley_core.http.errors import ParleyError
from parley_core.runtime.backoff import Backoff

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# A finished reply waits for its commit, so the delays are short.
INITIAL_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 2.0
# Timeouts and rate limits: rejections that do not depend on the request itself.
_RETRYABLE_STATUSES = frozenset((408, 425, 429))


async def retry_until_accepted(call: Callable[[], Awaitable[Result]], label: str) -> Result:
    """Retry until session accepts. `label` names the operation in log lines.

    Raises the ParleyError of a rejection that a retry would meet again.
    """
    backoff = Backoff(INITIAL_DELAY_SECONDS, MAX_DELAY_SECONDS)
    while True:
        try:
            return await call()
        except ParleyError as error:
            if error.status < 500 and error.status not in _RETRYABLE_STATUSES:
                raise
            if backoff.failures == 0:
                log.warning("%s: retrying until session accepts: %s", label, error.code)
        await asyncio.sleep(backoff.next_delay() or 0)
