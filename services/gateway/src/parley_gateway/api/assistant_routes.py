"""The routes of the catalogue: assistants, which administrators change, and models."""

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.http.forwarding import Forwarder, Routes, passthrough_response
from parley_gateway.http.request_parsing import check_any, path_assistant, query_of
from parley_gateway.parts import Parts
from parley_gateway.schemas.queries import AssistantsQuery
from parley_gateway.schemas.requests import DefineAssistant, ReviseAssistant


def assistant_routes(parts: Parts, passing: Forwarder) -> Routes:
    async def read_all(request: Request) -> Response:
        asker = await parts.authenticate(request)
        query = query_of(request, AssistantsQuery).to_query()
        return await passing.read(parts.peers.session, "/assistants", asker, query)

    async def read(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await passing.read(parts.peers.session, _path(request), asker)

    async def define(request: Request) -> Response:
        return await passing.command(request, "/assistants", DefineAssistant)

    async def revise(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = _path(request)
        return await passing.command_of(asker, request, path, ReviseAssistant, check_any)

    async def retire(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return passthrough_response(
            await passing.ask(parts.peers.session, "DELETE", _path(request), asker)
        )

    async def models(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await passing.read(parts.peers.inference, "/models", asker)

    return {
        "/v1/assistants": {"GET": read_all, "POST": define},
        "/v1/assistants/{assistant_id}": {"GET": read, "PATCH": revise, "DELETE": retire},
        "/v1/models": {"GET": models},
    }


def _path(request: Request) -> str:
    return f"/assistants/{path_assistant(request)}"
