"""Routes of the inference service; the gateway is their only caller."""

import time
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_contracts.inference_api import COMPLETION_ID_HEADER, StreamTurnRequest
from parley_core.http.errors import InvalidRequest, Unavailable
from parley_core.http.service_auth import caller_of
from parley_inference.api.turn_stream_response import TurnStreamResponse
from parley_inference.completions.request import parse_completion_request
from parley_inference.completions.service import CompletionService
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.turns.turn_opener import TurnOpener

COMPLETIONS_PATH = "/completions"


class TurnStreams:
    """Endpoint that streams a turn, to at most `max_streams` clients at once."""

    def __init__(self, opener: TurnOpener, *, max_streams: int) -> None:
        self._opener, self._max_streams = opener, max_streams
        self._open: set[TurnStreamResponse] = set()

    @property
    def subscribers(self) -> int:
        return len(self._open)

    async def stream(self, request: Request) -> ASGIApp:
        caller = caller_of(request)
        body = _decode(await request.body())
        turn_id = request.path_params["turn_id"]
        live = await self._opener.open(turn_id, body.session_id, caller)
        # After the claim: a turn that was admitted runs, even if nobody can read its stream here.
        if len(self._open) >= self._max_streams:
            raise Unavailable("Too many concurrent streams. Please retry.", code="inference_busy")
        return TurnStreamResponse(live, body.after, self._open)


def routes(
    catalogue: ModelCatalogue,
    turn_streams: TurnStreams,
    completions: CompletionService,
) -> Sequence[Route]:
    created = int(time.time())

    async def list_models(_: Request) -> Response:
        return Response(_encode_models(catalogue, created=created), media_type="application/json")

    async def complete(request: Request) -> ASGIApp:
        id = request.headers.get(COMPLETION_ID_HEADER)
        completion = parse_completion_request(await request.body(), id)
        return completions.complete(completion, caller_of(request))

    return [
        Route("/turns/{turn_id:uuid}/stream", turn_streams.stream, methods=["POST"]),
        Route("/models", list_models),
        Route(COMPLETIONS_PATH, complete, methods=["POST"]),
    ]


def _decode(body: bytes) -> StreamTurnRequest:
    try:
        return msgspec.json.decode(body, type=StreamTurnRequest)
    except ValueError:
        raise InvalidRequest(
            "The body should have session_id, a UUID, and after, a position of at least 0."
        ) from None


def _encode_models(catalogue: ModelCatalogue, created: int) -> bytes:
    """`created`, in seconds of Unix time, is when this process read its catalogue."""
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": created,
            "owned_by": "parley",
            "context_size": model.context_size,
        }
        for model in catalogue
    ]
    return msgspec.json.encode({"object": "list", "data": data})
