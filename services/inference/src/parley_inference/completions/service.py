"""The completions that this process serves: so many at once, and to their end when it stops."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from parley_core.http.errors import NotFound, Unavailable
from parley_inference.completions.completion import Completion
from parley_inference.completions.request import CompletionRequest
from parley_inference.completions.streamed_completion import StreamedCompletion
from parley_inference.completions.whole_completion import WholeCompletion
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.session.usage_record import UsageRecord
from parley_inference.turns.turn_run import Caller


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """Counts, bytes and seconds; see the settings of the same names."""

    at_once: int
    event_bytes: int
    client_seconds: float


class CompletionService:
    """`record` is told of each that used something."""

    def __init__(
        self,
        provider: OpenAIProvider,
        catalogue: ModelCatalogue,
        limits: CompletionSettings,
        record: Callable[[UsageRecord], None],
    ) -> None:
        self._provider, self._catalogue, self._limits = provider, catalogue, limits
        self._record = record
        self._running: set[CompletionAnswer] = set()
        self._stopping = False

    @property
    def running(self) -> int:
        return len(self._running)

    def answer(self, request: CompletionRequest, asker: Caller) -> "CompletionAnswer":
        """Raises NotFound, or Unavailable."""
        model = self._catalogue.get(request.model)
        if model is None:
            raise NotFound("There is no such model.", code="model_not_found", param="model")
        if self._stopping or len(self._running) >= self._limits.at_once:
            raise Unavailable(
                "This process takes on no more completions for now; try again.",
                code="inference_busy",
            )
        line = self._catalogue.line(model, request.prompt_tokens)
        completion: Completion
        if request.stream:
            completion = StreamedCompletion(
                request,
                line,
                self._provider,
                event_bytes=self._limits.event_bytes,
                client_seconds=self._limits.client_seconds,
            )
        else:
            completion = WholeCompletion(request, line, self._provider)
        return CompletionAnswer(completion, asker, self)

    def drain(self, seconds: float) -> None:
        """Take on no more, and end what still runs after `seconds`; once is enough."""
        if not self._stopping:
            self._stopping = True
            asyncio.get_running_loop().call_later(seconds, self._interrupt)

    def began(self, answer: "CompletionAnswer") -> None:
        self._running.add(answer)

    def ended(self, answer: "CompletionAnswer", served: UsageRecord | None) -> None:
        self._running.discard(answer)
        if served is not None:
            self._record(served)

    def _interrupt(self) -> None:
        for answer in self._running:
            answer.completion.stop("interrupted")


class CompletionAnswer:
    """An ASGI application: the answer to one request; it ends when its client leaves."""

    def __init__(
        self, completion: Completion, asker: Caller, completions: CompletionService
    ) -> None:
        self.completion = completion
        self._asker, self._completions = asker, completions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        self._completions.began(self)
        leaving = asyncio.create_task(self._leave(receive))
        try:
            await self.completion.answer(send)
        finally:
            leaving.cancel()
            self._completions.ended(self, self.completion.served(self._asker))

    async def _leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.completion.stop("cancelled")
