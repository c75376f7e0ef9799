"""The routes of history: read, imported into, searched, exported, and what it cost."""

from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.history.export import ExportEndpoint
from parley_gateway.history.get_history import GetHistoryEndpoint
from parley_gateway.http.forwarding import Forwarder, Routes, passthrough_response
from parley_gateway.http.request_parsing import (
    body_of,
    check_size,
    idempotency_header,
    path_id,
    query_of,
)
from parley_gateway.parts import Parts
from parley_gateway.schemas.queries import UsageQuery
from parley_gateway.schemas.requests import ImportMessages, Search
from parley_gateway.turns.limits import TurnLimits


def history_routes(
    parts: Parts,
    passing: Forwarder,
    reading: GetHistoryEndpoint,
    exporting: ExportEndpoint,
    limits: TurnLimits,
) -> Routes:
    async def import_messages(request: Request) -> Response:
        asker = await parts.authenticate(request)
        path = f"/sessions/{path_id(request, 'session_id')}/import"
        return await passing.command_of(asker, request, path, ImportMessages, _check_sizes)

    async def search(request: Request) -> Response:
        asker = await parts.authenticate(request)
        idempotency_header(request)
        asked = await body_of(request, Search, limits.body)
        history = parts.peers.history
        return passthrough_response(
            await passing.ask(history, "POST", "/search", asker, body=asked.to_json())
        )

    async def read_usage(request: Request) -> Response:
        asker = await parts.authenticate(request)
        query = query_of(request, UsageQuery).to_query()
        return await passing.read(parts.peers.history, "/usage", asker, query)

    return {
        "/v1/history/{session_id}": {"GET": reading, "POST": import_messages},
        "/v1/search": {"POST": search},
        "/v1/sessions/{session_id}/export": {"GET": exporting},
        "/v1/export": {"GET": exporting},
        "/v1/usage": {"GET": read_usage},
    }


def _check_sizes(asked: ImportMessages) -> None:
    for place, message in enumerate(asked.messages):
        check_size(message.content, f"messages.{place}.content")
