"""Routes of limits: where a person stands, and whether a completion is within them."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.limit_bodies import (
    AdmitCompletionRequest,
    AdmitCompletionResponse,
    LimitsResponse,
)
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_body
from parley_session.api.responses import json_response
from parley_session.application.turns.turn_limits import TurnLimits


def limit_routes(limits: TurnLimits) -> Sequence[Route]:
    async def read_limits(request: Request) -> Response:
        principal = caller_of(request).principal
        return json_response(LimitsResponse([*await limits.standing(principal)]))

    async def admit_completion(request: Request) -> Response:
        principal = caller_of(request).principal
        body = await decode_body(request, AdmitCompletionRequest)
        admitted = await limits.admit_completion(principal, body)
        response = json_response(AdmitCompletionResponse(admitted.id))
        response.headers.update(admitted.headers)
        return response

    async def release_completion(request: Request) -> Response:
        principal = caller_of(request).principal
        await limits.release_completion(principal, request.path_params["id"])
        return json_response({})

    return [
        Route("/completions/admission", admit_completion, methods=["POST"]),
        Route("/completions/admission/{id:uuid}", release_completion, methods=["DELETE"]),
        Route("/limits", read_limits),
    ]
