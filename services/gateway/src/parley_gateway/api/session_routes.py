"""The routes of sessions: started, listed, read, changed, forked, erased."""

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.history.delete_sessions import DeleteSessionsEndpoint
from parley_gateway.http.forwarding import Forwarder, Routes
from parley_gateway.http.request_parsing import check_any, path_id, query_of
from parley_gateway.parts import Parts
from parley_gateway.schemas.fields import RequestShape
from parley_gateway.schemas.queries import SessionsQuery
from parley_gateway.schemas.requests import (
    ChangeSession,
    ForkSession,
    StartSession,
    SwitchAssistant,
)


def session_routes(parts: Parts, passing: Forwarder, erasing: DeleteSessionsEndpoint) -> Routes:
    async def start(request: Request) -> Response:
        return await passing.command(request, "/sessions", StartSession)

    async def switch_assistant(request: Request) -> Response:
        return await passing.command(request, "/switch-assistant", SwitchAssistant)

    async def read_all(request: Request) -> Response:
        asker = await parts.authenticate(request)
        query = query_of(request, SessionsQuery).to_query() | parts.writes.seen(asker.principal)
        return await passing.read(parts.peers.history, "/sessions", asker, query)

    async def read(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await passing.read(parts.peers.session, _path(request), asker)

    async def change(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = _path(request)
        return await passing.command_of(asker, request, path, ChangeSession, check_any)

    async def fork(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await passing.command_of(asker, request, f"{_path(request)}/fork", ForkSession)

    async def restore(request: Request) -> Response:
        asker = await parts.authenticate(request)
        return await passing.command_of(asker, request, f"{_path(request)}/restore", RequestShape)

    return {
        "/v1/sessions": {"GET": read_all, "POST": start, "DELETE": erasing.all_sessions},
        "/v1/sessions/{session_id}": {"GET": read, "PATCH": change, "DELETE": erasing.session},
        "/v1/sessions/{session_id}/fork": {"POST": fork},
        "/v1/sessions/{session_id}/restore": {"POST": restore},
        "/v1/switch-assistant": {"POST": switch_assistant},
    }


def _path(request: Request) -> str:
    return f"/sessions/{path_id(request, 'session_id')}"
