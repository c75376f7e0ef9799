"""HTTP routes of `serve`; the gateway is their only caller."""

from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_core.http.service_auth import caller_of
from parley_history.queries.export.export_sessions import SessionExporter
from parley_history.queries.export.formats import parse_format
from parley_history.queries.export.response import file_response
from parley_history.queries.messages.page_request import parse_page_request
from parley_history.queries.messages.read_page import PageReader
from parley_history.queries.query_parameters import parse_version
from parley_history.queries.search.request import parse_search_request
from parley_history.queries.search.search_messages import MessageSearch
from parley_history.queries.sessions.list_sessions import SessionLister
from parley_history.queries.sessions.request import parse_session_list_request
from parley_history.queries.usage.repository import UsageRepository
from parley_history.queries.usage.request import parse_usage_request
from parley_history.queries.usage.response import encode_usage


def history_routes(
    *,
    pages: PageReader,
    sessions: SessionLister,
    search: MessageSearch,
    exporter: SessionExporter,
    usage: UsageRepository,
) -> Sequence[Route]:
    async def read_history(request: Request) -> Response:
        caller = caller_of(request)
        page_request = parse_page_request(request.query_params, datetime.now(UTC))
        page = await pages.read(request.path_params["session_id"], caller, page_request)
        etag = {} if page.behind else {"etag": f'W/"{page.version}"'}
        return Response(page.json, headers=etag, media_type="application/json")

    async def list_sessions(request: Request) -> Response:
        caller = caller_of(request)
        list_request = parse_session_list_request(request.query_params)
        return _json(await sessions.list(caller, list_request))

    async def search_messages(request: Request) -> Response:
        caller = caller_of(request)
        return _json(await search.search(caller, parse_search_request(await request.body())))

    async def export_session(request: Request) -> Response:
        caller, format_name = caller_of(request), parse_format(request.query_params)
        min_version = parse_version(request.query_params, "min_version") or 0
        session_id = request.path_params["session_id"]
        chunks = exporter.export_session(session_id, caller, format_name, min_version)
        return await file_response(chunks, format_name, f"parley-{session_id}")

    async def export_all(request: Request) -> Response:
        caller, format_name = caller_of(request), parse_format(request.query_params)
        chunks = exporter.export_all(caller, format_name)
        return await file_response(chunks, format_name, "parley")

    async def report_usage(request: Request) -> Response:
        principal, today = caller_of(request).principal, datetime.now(UTC).date()
        usage_request = parse_usage_request(request.query_params, principal, today)
        return _json(encode_usage(usage_request, await usage.read(principal, usage_request)))

    return [
        Route("/history/{session_id:uuid}", read_history),
        Route("/sessions", list_sessions),
        Route("/search", search_messages, methods=["POST"]),
        Route("/sessions/{session_id:uuid}/export", export_session),
        Route("/export", export_all),
        Route("/usage", report_usage),
    ]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
