"""The routes of `serve`; the gateway is their only caller."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from parley_core.http.pagination import parse_number
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_history.change_feed.ndjson_stream import ChangeFeedStreams
from parley_history.queries.export.export_sessions import SessionExporter
from parley_history.queries.export.request import form_in
from parley_history.queries.export.response import file_of
from parley_history.queries.messages.cached_read_page import CachedPageReader
from parley_history.queries.messages.page_request import page_request_of
from parley_history.queries.messages.read_page import PageReader
from parley_history.queries.query_parameters import VERSION_MOST
from parley_history.queries.search.request import search_request_of
from parley_history.queries.search.search_messages import MessageSearch
from parley_history.queries.sessions.list_sessions import SessionLister
from parley_history.queries.sessions.request import seen_in, session_list_request_of
from parley_history.queries.usage.repository import UsageSums
from parley_history.queries.usage.request import usage_request_of
from parley_history.queries.usage.response import usage_json

Missing = Callable[[], Awaitable[Sequence[str]]]
"""Names what a process waits for; nothing when it is ready."""


class Parts:
    """What the routes use, put together when the process starts."""

    reading: PageReader | CachedPageReader
    listing: SessionLister
    missing: Missing
    movements: ChangeFeedStreams
    searching: MessageSearch
    exporting: SessionExporter
    usage: UsageSums


def routes(guard: ServiceAuthenticator, parts: Parts) -> Sequence[Route]:
    async def read_history(request: Request) -> Response:
        person = guard(request)
        asked = page_request_of(request.query_params, datetime.now(UTC))
        session_id = request.path_params["session_id"]
        page = await parts.reading.page(session_id, person, request_id(request), asked)
        etag = {"etag": f'W/"{page.version}"'}
        return Response(page.json, headers=etag, media_type="application/json")

    async def list_sessions(request: Request) -> Response:
        person = guard(request)
        asked = session_list_request_of(request.query_params)
        page = await parts.listing.page(person, request_id(request), asked)
        return Response(page, media_type="application/json")

    async def search(request: Request) -> Response:
        person = guard(request)
        asked = search_request_of(await request.body())
        results = await parts.searching.search(person, request_id(request), asked)
        return Response(results, media_type="application/json")

    async def export_session(request: Request) -> Response:
        person, form = guard(request), form_in(request.query_params)
        least = parse_number(request.query_params, "min_version", VERSION_MOST) or 0
        session_id = request.path_params["session_id"]
        pieces = parts.exporting.one(session_id, person, request_id(request), form, least)
        return await file_of(pieces, form, f"parley-{session_id}")

    async def export_all(request: Request) -> Response:
        person, form = guard(request), form_in(request.query_params)
        seen = seen_in(request.query_params)
        pieces = parts.exporting.all(person, request_id(request), form, seen)
        return await file_of(pieces, form, "parley")

    async def sum_usage(request: Request) -> Response:
        person = guard(request)
        asked = usage_request_of(request.query_params, person, datetime.now(UTC).date())
        answer = usage_json(asked, await parts.usage.read(person, asked))
        return Response(answer, media_type="application/json")

    async def follow_movements(request: Request) -> Response:
        guard(request)
        return StreamingResponse(parts.movements.open(), media_type="application/x-ndjson")

    async def missing() -> Sequence[str]:
        return await parts.missing()

    return [
        Route("/history/{session_id:uuid}", read_history),
        Route("/sessions", list_sessions),
        Route("/search", search, methods=["POST"]),
        Route("/sessions/{session_id:uuid}/export", export_session),
        Route("/export", export_all),
        Route("/usage", sum_usage),
        Route("/movements", follow_movements),
        *health_routes(missing),
    ]


def health_routes(missing: Missing) -> Sequence[Route]:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if waits_for := await missing():
            return JSONResponse({"status": "unavailable", "missing": [*waits_for]}, 503)
        return JSONResponse({"status": "ok"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
