"""A completion that is answered in one piece."""

import msgspec

from parley_inference.completions.completion import Completion
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.event_rewriter import with_fields
from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.models.wire.chunk_parser import Event, decoded, tokens_of


class _Answer(Event):
    choices: list[msgspec.Raw] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class WholeCompletion(Completion):
    """Any number of tries have one answer: nothing is given out before it is whole."""

    _body = b""

    async def _ask(self, model: Model) -> None:
        def read(body: bytes) -> bytes:
            answer = decoded(body, _ANSWER)
            if answer.choices is None:
                raise UpstreamError("upstream_garbage")
            self._tokens = tokens_of(answer.usage)
            self._reply_bytes = sum(len(bytes(choice)) for choice in answer.choices)
            return with_fields(body, self._identity(model))

        def asked() -> None:
            # Broken off, it is charged for what it did until then, though nobody tells how much.
            self._answered_by = model

        body = self._request.for_server(model)
        try:
            self._body = await self._provider.whole(model, body, read, asked)
        except UpstreamError:
            self._answered_by = None
            raise

    async def _finish(self) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._body})

    async def _fail(self, error: UpstreamErrorResponse) -> None:
        raise error
