"""One completion without a conversation: whom it asks, how long, and what it used."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import uuid4

from starlette.types import Send

from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.request import CompletionRequest
from parley_inference.models.failures import FailureCode, UpstreamError
from parley_inference.models.fallback import FallbackRun
from parley_inference.models.model_catalogue import Model
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.models.outcome import usage_of
from parley_inference.models.wire.chunk_parser import TokenCounts
from parley_inference.session.usage_record import Status, UsageRecord
from parley_inference.turns.turn_run import Caller


class ClientDisconnected(Exception):
    """It takes nothing any more."""


class Completion(ABC):
    """The answer of the models in `line`; see `FallbackRun`."""

    def __init__(
        self, request: CompletionRequest, line: Sequence[Model], provider: OpenAIProvider
    ) -> None:
        self.id = uuid4()
        self._send: Send
        self._request, self._provider = request, provider
        self._making = FallbackRun(line, f"completion {self.id}")
        # What it used so far, and of which model.
        self._answered_by: Model | None = None
        self._reply_bytes = 0
        self._tokens: TokenCounts | None = None
        self._failure: FailureCode | None = None

    def stop(self, code: FailureCode) -> None:
        """Break it off; `cancelled` is by a client that left."""
        self._making.stop(code)

    async def answer(self, send: Send) -> None:
        """Raises UpstreamError where it failed before anything was sent."""
        self._send = send
        failed = await self._making.run(self._asked)
        self._failure = failed.code if failed else None
        try:
            if failed is None:
                await self._finish()
            elif failed.code != "cancelled":
                await self._fail(UpstreamErrorResponse(failed))
        except ClientDisconnected:
            self._failure = "cancelled"

    def served(self, asker: Caller) -> UsageRecord | None:
        """None where the model server did nothing that it could charge for."""
        model = self._answered_by
        if model is None:
            return None
        usage = usage_of(
            self._tokens,
            prompt_tokens=self._request.prompt_tokens,
            reply_bytes=self._reply_bytes,
        )
        return UsageRecord(
            id=self.id,
            principal=asker.principal,
            request_id=asker.request_id,
            model=model.name,
            status=self._status,
            usage=usage,
            price=model.price,
        )

    @property
    def _status(self) -> Status:
        if self._failure is None:
            return "completed"
        return "cut" if self._failure == "cancelled" else "failed"

    @abstractmethod
    async def _ask(self, model: Model) -> None:
        """Raises UpstreamError, or ClientDisconnected."""

    @abstractmethod
    async def _finish(self) -> None: ...

    @abstractmethod
    async def _fail(self, error: UpstreamErrorResponse) -> None: ...

    def _identity(self, model: Model) -> dict[str, str]:
        return {"id": f"chatcmpl-{self.id.hex}", "model": model.name}

    async def _asked(self, model: Model) -> None:
        try:
            await self._ask(model)
        except ClientDisconnected:
            raise UpstreamError("cancelled", begun=True) from None
