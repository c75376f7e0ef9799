"""The public routes: each checks what the client sent, and passes the answer on as it is.

They are bare routes, since nothing is gained by decoding an answer again; `openapi` describes
what they take and give.
"""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.calls import ServiceClient
from parley_gateway.authentication import Asker
from parley_gateway.open_streams import OpenStreams
from parley_gateway.parts import Parts
from parley_gateway.requests import (
    RequestShape,
    StartSession,
    SwitchAssistant,
    body_of,
    history_query,
    idempotency_header,
    path_id,
)
from parley_gateway.resuming import Resuming
from parley_gateway.submitting import Submitting
from parley_gateway.turn_limits import TurnLimits


def routes(
    parts: Parts, streams: OpenStreams, limits: TurnLimits, *, ready_seconds: float
) -> Sequence[Route]:
    async def start_session(request: Request) -> Response:
        return await post(request, "/sessions", StartSession)

    async def switch_assistant(request: Request) -> Response:
        return await post(request, "/switch-assistant", SwitchAssistant)

    async def read_session(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/sessions/{path_id(request, 'session_id')}"
        return await get(parts.peers.session, path, asker)

    async def read_turn(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/turns/{path_id(request, 'turn_id')}"
        return await get(parts.peers.session, path, asker)

    async def cancel_turn(request: Request) -> Response:
        return await post(request, f"/turns/{path_id(request, 'turn_id')}/cancel", RequestShape)

    async def list_assistants(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await get(parts.peers.session, "/assistants", asker)

    async def list_models(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await get(parts.peers.inference, "/models", asker)

    async def read_history(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/history/{path_id(request, 'session_id')}"
        return await get(parts.peers.history, path, asker, history_query(request))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if streams.draining:
            return JSONResponse({"status": "stopping", "missing": []}, 503)
        if missing := await parts.peers.missing(ready_seconds):
            return JSONResponse({"status": "unavailable", "missing": missing}, 503)
        return JSONResponse({"status": "ok"})

    async def get(
        peer: ServiceClient, path: str, asker: Asker, query: Mapping[str, str] | None = None
    ) -> Response:
        answer = await peer.call(
            "GET",
            path,
            principal=asker.principal,
            request_id=asker.request_id,
            query=query,
            timeout=limits.call,
        )
        return Response(answer.body, answer.status, media_type="application/json")

    async def post(request: Request, path: str, shape: type[RequestShape]) -> Response:
        asker = await parts.authenticate(request)
        key = idempotency_header(request)
        asked = await body_of(request, shape, limits.body)
        answer = await parts.peers.session.call(
            "POST",
            path,
            principal=asker.principal,
            request_id=asker.request_id,
            body=asked.to_json(),
            headers=key,
            timeout=limits.call,
        )
        return Response(answer.body, answer.status, media_type="application/json")

    return [
        Route("/v1/sessions", start_session, methods=["POST"]),
        Route("/v1/sessions/{session_id}", read_session),
        Route(
            "/v1/sessions/{session_id}/messages",
            Submitting(parts, streams, limits),
            methods=["POST"],
        ),
        Route("/v1/turns/{turn_id}", read_turn),
        Route("/v1/turns/{turn_id}/stream", Resuming(parts, streams, limits), methods=["GET"]),
        Route("/v1/turns/{turn_id}/cancel", cancel_turn, methods=["POST"]),
        Route("/v1/history/{session_id}", read_history),
        Route("/v1/assistants", list_assistants),
        Route("/v1/switch-assistant", switch_assistant, methods=["POST"]),
        Route("/v1/models", list_models),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
