"""The routes of inference; the gateway is their only caller."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_core.http.errors import InvalidRequest, ParleyError, Unavailable
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_inference.api.turn_stream_response import TurnStreamResponse
from parley_inference.completions.service import CompletionService
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.session.client import SessionClient
from parley_inference.turns.runner import Runner
from parley_inference.turns.turn_run import Caller


class StreamRequest(msgspec.Struct):
    session_id: UUID
    after: Annotated[int, msgspec.Meta(ge=0)]


class Parts:
    """What the routes use, put together when the process starts."""

    runner: Runner
    session: SessionClient
    completions: CompletionService

    def __init__(self) -> None:
        self.open_streams: set[TurnStreamResponse] = set()


def routes(
    guard: ServiceAuthenticator,
    catalogue: ModelCatalogue,
    parts: Parts,
    *,
    most_streams: int,
    heartbeat_seconds: float,
) -> Sequence[Route]:
    open_streams = parts.open_streams
    opening = 0
    models = _model_list(catalogue)

    async def stream_turn(request: Request) -> ASGIApp:
        nonlocal opening
        asker = Caller(guard(request), request_id(request))
        asked = _decoded(await request.body())
        if len(open_streams) + opening >= most_streams:
            raise Unavailable("Too many replies are being read; try again.", code="inference_busy")
        opening += 1
        try:
            live = await parts.runner.open(request.path_params["turn_id"], asked.session_id, asker)
        finally:
            opening -= 1
        return TurnStreamResponse(live, asked.after, open_streams, heartbeat_seconds)

    async def list_models(request: Request) -> Response:
        guard(request)
        return Response(models, media_type="application/json")

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if not parts.runner.claims:
            return JSONResponse({"status": "stopping"}, 503)
        try:
            await parts.session.check()
        except ParleyError:
            return JSONResponse({"status": "unavailable", "missing": ["session"]}, 503)
        return JSONResponse({"status": "ok"})

    return [
        Route("/turns/{turn_id:uuid}/stream", stream_turn, methods=["POST"]),
        Route("/models", list_models),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]


def _decoded(body: bytes) -> StreamRequest:
    try:
        return msgspec.json.decode(body, type=StreamRequest)
    except ValueError:
        raise InvalidRequest(
            "The body should have session_id, a UUID, and after, a place in the reply from 0 on."
        ) from None


def _model_list(catalogue: ModelCatalogue) -> bytes:
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": 0,
            "owned_by": "parley",
            "context_size": model.context_size,
        }
        for model in catalogue
    ]
    return msgspec.json.encode({"object": "list", "data": data})
