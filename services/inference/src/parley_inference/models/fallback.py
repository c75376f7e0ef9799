"""A reply or a completion while its models are asked: within its time, until it is stopped."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from parley_core.runtime.safe_logging import log_unexpected_error
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.models.retry_policy import try_fallbacks

log = logging.getLogger(__name__)


class FallbackRun:
    """Asks the first model in `line`, and the next where one does not begin to answer.

    The first one's time for a reply bounds the whole. `what` is it that a line of the log names.
    """

    def __init__(self, line: Sequence[Model], what: str) -> None:
        self._line, self._what = line, what
        self._stopped_by: FailureCode | None = None
        self._limit: asyncio.Timeout | None = None

    def stop(self, code: FailureCode) -> None:
        """Break it off; it has failed with the first such code then."""
        if self._stopped_by is None:
            self._stopped_by = code
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time())

    async def run(self, ask: Callable[[Model], Awaitable[None]]) -> UpstreamError | None:
        """How it failed; never raises but when it is cancelled."""
        failed = await self._asked(ask) if self._stopped_by is None else None
        return UpstreamError(self._stopped_by) if self._stopped_by else failed

    async def _asked(self, ask: Callable[[Model], Awaitable[None]]) -> UpstreamError | None:
        try:
            async with asyncio.timeout(self._line[0].limits.total) as self._limit:
                await try_fallbacks(self._line, ask)
        except UpstreamError as failed:
            return failed
        except TimeoutError:
            return UpstreamError("upstream_timeout")
        except Exception as error:
            log_unexpected_error(log, self._what, error)
            return UpstreamError("internal")
        finally:
            self._limit = None
        return None
