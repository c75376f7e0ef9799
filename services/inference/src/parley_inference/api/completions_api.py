"""The route of completions without a conversation; the gateway is its only caller."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_inference.completions.request import read_request
from parley_inference.completions.service import CompletionService
from parley_inference.turns.turn_run import Caller

COMPLETIONS = "/completions"


def completions_route(
    guard: ServiceAuthenticator, completions: Callable[[], CompletionService]
) -> Route:
    async def complete(request: Request) -> ASGIApp:
        asker = Caller(guard(request), request_id(request))
        return completions().answer(read_request(await request.body()), asker)

    return Route(COMPLETIONS, complete, methods=["POST"])
