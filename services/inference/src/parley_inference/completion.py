"""One completion without a conversation: whom it asks, how long, and what it used."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import uuid4

from starlette.types import Send

from parley_core.surprises import log_surprise
from parley_inference.catalogue import Model
from parley_inference.chunks import Tokens
from parley_inference.completion_request import CompletionRequest
from parley_inference.ending import usage_of
from parley_inference.failures import FailureCode, UpstreamFailed
from parley_inference.provider import OpenAIProvider
from parley_inference.retrying import ask_in_line
from parley_inference.served import Served, Status
from parley_inference.turn_run import Asker
from parley_inference.upstream_errors import UpstreamError

log = logging.getLogger(__name__)


class ClientGone(Exception):
    """It takes nothing any more."""


class Completion(ABC):
    """Asks the first model in `line`, and the next where one does not begin to answer.

    The first one's time for a reply bounds the whole.
    """

    def __init__(
        self, request: CompletionRequest, line: Sequence[Model], provider: OpenAIProvider
    ) -> None:
        self.id = uuid4()
        self._send: Send
        self._request, self._line, self._provider = request, line, provider
        # What it used so far, and of which model.
        self._answered_by: Model | None = None
        self._reply_bytes = 0
        self._tokens: Tokens | None = None
        self._failure: FailureCode | None = None
        self._stopped_by: FailureCode | None = None
        self._limit: asyncio.Timeout | None = None

    def stop(self, code: FailureCode) -> None:
        """Break it off; `cancelled` is by a client that left."""
        if self._stopped_by is None:
            self._stopped_by = code
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time())

    async def answer(self, send: Send) -> None:
        """Raises UpstreamError where it failed before anything was sent."""
        self._send = send
        failed = await self._made()
        self._failure = failed.code if failed else None
        try:
            if failed is None:
                await self._finish()
            elif failed.code != "cancelled":
                await self._fail(UpstreamError(failed))
        except ClientGone:
            self._failure = "cancelled"

    def served(self, asker: Asker) -> Served | None:
        """None where the model server did nothing that it could charge for."""
        model = self._answered_by
        if model is None:
            return None
        usage = usage_of(
            self._tokens,
            prompt_tokens=self._request.prompt_tokens,
            reply_bytes=self._reply_bytes,
        )
        return Served(
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
        """Raises UpstreamFailed, or ClientGone."""

    @abstractmethod
    async def _finish(self) -> None: ...

    @abstractmethod
    async def _fail(self, error: UpstreamError) -> None: ...

    def _identity(self, model: Model) -> dict[str, str]:
        return {"id": f"chatcmpl-{self.id.hex}", "model": model.name}

    async def _made(self) -> UpstreamFailed | None:
        failed: UpstreamFailed | None = None
        try:
            async with asyncio.timeout(self._line[0].limits.total) as self._limit:
                if self._stopped_by is None:
                    await ask_in_line(self._line, self._ask)
        except UpstreamFailed as upstream_failed:
            failed = upstream_failed
        except ClientGone:
            failed = UpstreamFailed("cancelled")
        except TimeoutError:
            failed = UpstreamFailed("upstream_timeout")
        except Exception as error:
            log_surprise(log, f"completion {self.id}", error)
            failed = UpstreamFailed("internal")
        finally:
            self._limit = None
        return UpstreamFailed(self._stopped_by) if self._stopped_by else failed
