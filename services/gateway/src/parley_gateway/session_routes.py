"""The routes of sessions: started, listed, read, changed, forked, erased."""

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.bodies import ChangeSession, ForkSession, StartSession, SwitchAssistant
from parley_gateway.erasing import Erasing
from parley_gateway.parts import Parts
from parley_gateway.passing_on import PassingOn, Routes
from parley_gateway.queries import SessionsQuery
from parley_gateway.request_fields import RequestShape
from parley_gateway.requests import check_any, path_id, query_of


def session_routes(parts: Parts, passing: PassingOn, erasing: Erasing) -> Routes:
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
