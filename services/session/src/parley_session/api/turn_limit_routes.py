"""Routes of limits: where a person stands, and whether a completion is within them."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.limit_bodies import AdmitCompletionRequest, LimitsResponse
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
        await limits.admit_completion(principal, body.model)
        response = json_response({})
        response.headers.update(await limits.token_headers(principal, body.model))
        return response

    return [
        Route("/completions/admission", admit_completion, methods=["POST"]),
        Route("/limits", read_limits),
    ]
