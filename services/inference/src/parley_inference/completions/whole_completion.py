"""A completion that is answered as one JSON body."""

import msgspec

from parley_inference.completions.completion import Completion
from parley_inference.completions.errors import UpstreamErrorResponse
from parley_inference.completions.event_rewriter import replace_fields
from parley_inference.models.failures import UpstreamError
from parley_inference.models.model_catalogue import Model
from parley_inference.models.wire.chunk_parser import Event, decode_event, parse_token_counts


class _Response(Event):
    choices: list[msgspec.Raw] | None = None


_RESPONSE = msgspec.json.Decoder(_Response)


class WholeCompletion(Completion):
    """Can always be retried: nothing is sent before the response is complete."""

    _body = b""

    async def _complete(self, model: Model) -> None:
        def parse(body: bytes) -> bytes:
            response = decode_event(body, _RESPONSE)
            if response.choices is None:
                raise UpstreamError("upstream_garbage")
            self._tokens = parse_token_counts(response.usage)
            self._reply_bytes = sum(len(bytes(choice)) for choice in response.choices)
            return replace_fields(body, self._identity(model))

        def on_sent() -> None:
            # A request aborted from here on is charged by an estimate: its usage is never reported.
            self._answering_model = model

        body = self._request.upstream_body(model)
        try:
            self._body = await self._provider.complete(model, body, self._person, parse, on_sent)
        except UpstreamError:
            self._answering_model = None
            raise

    async def _send_end(self) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._body})

    async def _send_error(self, error: UpstreamErrorResponse) -> None:
        raise error
