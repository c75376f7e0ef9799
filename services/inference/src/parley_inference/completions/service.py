"""Stateless completions of this process: concurrency limit, start, and graceful shutdown."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from parley_core.auth.caller import Caller
from parley_core.http.errors import ModelNotAllowed, NotFound, Unavailable
from parley_core.http.person_limit import PersonLimit
from parley_core.http.request_lifetime import RequestLifetime, no_handover
from parley_inference.completions.completion import Completion
from parley_inference.completions.request import CompletionRequest
from parley_inference.completions.streamed_completion import StreamedCompletion
from parley_inference.completions.whole_completion import WholeCompletion
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.session.usage_record import CompletionReport


class CompletionService:
    """Runs as many at once as `limit` allows, and none once `accepting` is False.

    `report_usage` is called after every completion that used something, or did not use the budget
    that was reserved for it.
    """

    def __init__(
        self,
        provider: OpenAIProvider,
        catalogue: ModelCatalogue,
        report_usage: Callable[[CompletionReport], None],
        *,
        limit: PersonLimit,
    ) -> None:
        self.accepting = True
        self._provider, self._catalogue = provider, catalogue
        self._report_usage, self.limit = report_usage, limit
        self._in_flight: set[CompletionResponse] = set()

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def complete(self, request: CompletionRequest, caller: Caller) -> "CompletionResponse":
        """Raises NotFound, ModelNotAllowed, or Unavailable."""
        model = self._catalogue.get(request.model)
        if model is None:
            raise NotFound("The model does not exist.", code="model_not_found", param="model")
        if not caller.principal.may_use(request.model):
            raise ModelNotAllowed(request.model)
        if not self.accepting:
            raise Unavailable("The server is shutting down. Please retry.", code="inference_busy")
        candidates = self._catalogue.candidates(model, request.prompt_tokens)
        kind = StreamedCompletion if request.stream else WholeCompletion
        completion: Completion = kind(
            request,
            candidates,
            self._provider,
            caller.principal,
            self._catalogue.count_fallback,
        )
        return CompletionResponse(completion, caller, self)

    def interrupt_all(self) -> None:
        """End the running completions with an error."""
        for response in self._in_flight:
            response.completion.stop("interrupted")

    def started(self, response: "CompletionResponse") -> None:
        self._in_flight.add(response)

    def finished(self, response: "CompletionResponse", report: CompletionReport | None) -> None:
        self._in_flight.discard(response)
        if report is not None:
            self._report_usage(report)


class CompletionResponse:
    """ASGI application that answers one request; cancelled when its client disconnects."""

    def __init__(self, completion: Completion, caller: Caller, service: CompletionService) -> None:
        self.completion = completion
        self._caller, self._service = caller, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        with self._service.limit.slot(self._caller.principal):
            await self._respond(receive, send)

    async def _respond(self, receive: Receive, send: Send) -> None:
        self._service.started(self)
        try:
            work = asyncio.create_task(self.completion.respond(send))
            never = asyncio.get_running_loop().create_future()  # Interrupted by the service.
            lifetime = RequestLifetime(receive, never, no_handover())
            if await lifetime.supervise(work, handover_timeout=0) == "done":
                work.result()
        finally:
            self._service.finished(self, self.completion.report(self._caller))
