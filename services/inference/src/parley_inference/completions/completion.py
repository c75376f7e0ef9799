"""One stateless completion: its model calls, its response, and the usage to record."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from starlette.types import Send

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.tracing.spans import current_traceparent
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.request import CompletionRequest
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.fallback import FallbackRun
from parley_inference.models.model_catalogue import Model
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.models.outcome import usage_from
from parley_inference.models.retry_policy import OnFallback
from parley_inference.models.wire.chunk_parser import TokenCounts
from parley_inference.models.wire.stream_attempt import ClientDisconnected
from parley_inference.session.usage_record import (
    CompletionReport,
    Status,
    UnusedReservation,
    UsageRecord,
)


class Completion(ABC):
    """A completion by the first of `candidates` that answers; see `FallbackRun`."""

    def __init__(
        self,
        request: CompletionRequest,
        candidates: Sequence[Model],
        provider: OpenAIProvider,
        principal: Principal,
        on_fallback: OnFallback,
    ) -> None:
        self.id = request.id
        self._send: Send
        self._person = (principal.tenant, principal.user)
        self._request, self._provider = request, provider
        self._run = FallbackRun(candidates, f"completion {self.id}", on_fallback)
        # Usage so far, and the model that it is charged to.
        self._answering_model: Model | None = None
        self._reply_bytes = 0
        self._tokens: TokenCounts | None = None
        self._failure: FailureCode | None = None

    def stop(self, code: FailureCode) -> None:
        """Abort; the completion then fails with `code`."""
        self._run.stop(code)

    async def respond(self, send: Send) -> None:
        """Raises UpstreamErrorResponse for a failure before anything was sent.

        Cancelled when the client disconnects.
        """
        self._send = send
        try:
            error = await self._run.run(self._call_model)
            self._failure = error.code if error else None
            if error is None:
                await self._send_end()
            elif error.code != "cancelled":
                await self._send_error(UpstreamErrorResponse(error))
        except ClientDisconnected:
            self._failure = "cancelled"
        except asyncio.CancelledError:
            self._failure = "cancelled"
            raise

    def report(self, caller: Caller) -> CompletionReport | None:
        """The usage. When the model server did nothing chargeable, the reservation, if any."""
        model = self._answering_model
        if model is None:
            if not self._request.is_reserved:
                return None
            traceparent = current_traceparent()
            return UnusedReservation(self.id, caller.principal, caller.request_id, traceparent)
        usage = usage_from(
            self._tokens,
            prompt_tokens=self._request.prompt_tokens,
            reply_bytes=self._reply_bytes,
        )
        return UsageRecord(
            id=self.id,
            principal=caller.principal,
            request_id=caller.request_id,
            model=model.name,
            status=self._status,
            usage=usage,
            price=model.price,
            traceparent=current_traceparent(),
        )

    @property
    def _status(self) -> Status:
        if self._failure is None:
            return "completed"
        return "cut" if self._failure == "cancelled" else "failed"

    @abstractmethod
    async def _complete(self, model: Model) -> None:
        """Raises UpstreamError, or ClientDisconnected."""

    @abstractmethod
    async def _send_end(self) -> None: ...

    @abstractmethod
    async def _send_error(self, error: UpstreamErrorResponse) -> None: ...

    def _identity(self, model: Model) -> dict[str, str]:
        """The fields of an upstream response that Parley replaces by its own."""
        return {"id": f"chatcmpl-{self.id.hex}", "model": model.name}

    async def _call_model(self, model: Model) -> None:
        try:
            await self._complete(model)
        except ClientDisconnected:
            raise UpstreamError("cancelled", partially_sent=True) from None
