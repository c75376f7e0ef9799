"""Runs a request against a model and its fallbacks under one deadline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from parley_core.runtime.safe_logging import log_unexpected_error
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.models.retry_policy import OnFallback, try_fallbacks

log = logging.getLogger(__name__)


class FallbackRun:
    """Calls the first of `candidates`, and the next one when a model fails before its first text.

    The total timeout of the first candidate's server bounds the whole run. `label` names the run
    in log lines.
    """

    def __init__(
        self,
        candidates: Sequence[Model],
        label: str,
        on_fallback: OnFallback = lambda _, __: None,
    ) -> None:
        self._candidates, self._label = candidates, label
        self._on_fallback = on_fallback
        self._stop_code: FailureCode | None = None
        self._deadline: asyncio.Timeout | None = None

    def stop(self, code: FailureCode) -> None:
        """Abort the run; it then fails with the code of the first call."""
        if self._stop_code is None:
            self._stop_code = code
            if self._deadline is not None and not self._deadline.expired():
                self._deadline.reschedule(asyncio.get_running_loop().time())

    async def run(self, call: Callable[[Model], Awaitable[None]]) -> UpstreamError | None:
        """Return the error, or None on success; raises nothing but CancelledError."""
        error = await self._run(call) if self._stop_code is None else None
        return UpstreamError(self._stop_code, was_asked=False) if self._stop_code else error

    async def _run(self, call: Callable[[Model], Awaitable[None]]) -> UpstreamError | None:
        try:
            async with asyncio.timeout(self._candidates[0].limits.total_seconds) as self._deadline:
                await try_fallbacks(self._candidates, self._logged(call), self._on_fallback)
        except UpstreamError as error:
            return error
        except TimeoutError:
            return UpstreamError("upstream_timeout")
        except Exception as error:
            log_unexpected_error(log, self._label, error)
            return UpstreamError("internal")
        finally:
            self._deadline = None
        return None

    def _logged(
        self, call: Callable[[Model], Awaitable[None]]
    ) -> Callable[[Model], Awaitable[None]]:
        """Log why a model server failed, also where a fallback replies.

        Not while its circuit is open, and not while a turn waits for a free slot.
        """

        async def call_and_log(model: Model) -> None:
            try:
                await call(model)
            except UpstreamError as error:
                if error.was_asked and error.code != "cancelled":
                    log.warning("%s: model %s failed: %s", self._label, model.name, error.reason)
                raise

        return call_and_log
