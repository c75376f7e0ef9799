"""The route of completions without a conversation; the gateway is its only caller."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_core.http.service_auth import Guard, request_id
from parley_inference.completions.request import read_request
from parley_inference.completions.service import Completions
from parley_inference.turns.turn_run import Asker

COMPLETIONS = "/completions"


def completions_route(guard: Guard, completions: Callable[[], Completions]) -> Route:
    async def complete(request: Request) -> ASGIApp:
        asker = Asker(guard(request), request_id(request))
        return completions().answer(read_request(await request.body()), asker)

    return Route(COMPLETIONS, complete, methods=["POST"])
