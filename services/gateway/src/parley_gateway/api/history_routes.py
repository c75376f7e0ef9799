"""Routes of history: read, import, search, export and usage."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from parley_gateway.api import examples
from parley_gateway.api.responses import COMMAND, EXPORT, HISTORY, SESSION, responses
from parley_gateway.http.forwarding import passthrough_response
from parley_gateway.http.json_size import MAX_IMPORTED_VALUES
from parley_gateway.http.request_parsing import (
    STRICT_QUERY,
    ForwardedBody,
    IdempotencyHeaders,
    JSONBody,
    SessionId,
    parse_path_id,
    parse_query,
)
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ExporterDependency,
    ForwarderDependency,
    HistoryReaderDependency,
    RecordedReadsDependency,
    UpstreamsDependency,
    components_of,
)
from parley_gateway.schemas.queries import ExportQuery, HistoryQuery, UsageQuery
from parley_gateway.schemas.requests import ImportMessages, Search
from parley_gateway.schemas.responses import (
    Export,
    HistoryImport,
    MessageList,
    SearchResults,
    SessionExport,
    UsageReport,
)

_ETAG = {"ETag": {"description": "The version of the history.", "schema": {"type": "string"}}}
_MARKDOWN: dict[int, dict[str, Any]] = {
    200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}
}


class DirectRoute(APIRoute):
    """Its handler parses the parameters itself, because FastAPI's dependency solving would take
    0.18 ms of CPU per uncached read. The endpoint documents the route.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return _read_history


async def _read_history(request: Request) -> Response:
    components = components_of(request)
    return await read_history(
        request,
        await components.authenticator.authenticate(request),
        components.history_reader,
        parse_path_id(request, "session_id"),
        await parse_query(request, HistoryQuery),
        request.headers.get("if-none-match", ""),
    )


read_router = APIRouter(prefix="/v1", tags=["chat"], route_class=DirectRoute)
router = APIRouter(prefix="/v1", tags=["chat"])


@read_router.get(
    "/history/{session_id}",
    summary="Read the messages of a session",
    response_model=MessageList,
    responses=responses(
        {
            200: examples.json_example(examples.MESSAGE_LIST) | {"headers": _ETAG},
            304: {"description": "The page has not changed.", "headers": _ETAG},
        },
        SESSION,
        HISTORY,
        {
            429: (*HISTORY[429], "too_many_large_pages"),
            503: (*HISTORY[503], "gateway_busy"),
        },
    ),
    dependencies=[STRICT_QUERY],
)
async def read_history(
    request: Request,
    caller: CurrentCaller,
    reader: HistoryReaderDependency,
    session_id: SessionId,
    query: Annotated[HistoryQuery, Query()],
    if_none_match: Annotated[
        str,
        Header(
            alias="If-None-Match",
            description="The `ETag` of the client's page: 304 when it has not changed.",
        ),
    ] = "",
) -> Response:
    """The current branch, unless another is requested, with every write that was acknowledged
    before the request, to any client. Where it is not projected within 2 s, the response is
    503 `projection_behind`, or with `allow_behind=true` an older page with `behind: true`.
    `version` is the projected version.
    """
    return await reader.read_page(request, session_id, caller, query, if_none_match)


@router.post(
    "/history/{session_id}",
    summary="Import messages from elsewhere, or from an export",
    response_model=HistoryImport,
    responses=responses(
        {200: examples.json_example(examples.HISTORY_IMPORT)},
        COMMAND,
        SESSION,
        {
            409: ("turn_open", "session_full", "message_id_conflict"),
            413: ("message_too_large", "session_too_large", "body_too_large"),
        },
    ),
)
async def import_messages(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    session_id: SessionId,
    body: Annotated[bytes, Depends(ForwardedBody(ImportMessages, max_values=MAX_IMPORTED_VALUES))],
) -> Response:
    """All messages or none, or the good ones, in at most 4 MiB. Accepts the export of a
    session, whole or in parts: with their ids, messages keep their branches. Existing messages
    are skipped: importing the same messages again changes nothing.
    """
    path = f"/sessions/{session_id}/import"
    return await forwarder.forward_command("POST", path, caller, body, headers)


@router.post(
    "/search",
    summary="Search one's own messages",
    response_model=SearchResults,
    responses=responses(
        {200: examples.json_example(examples.SEARCH_RESULTS)},
        COMMAND,
        HISTORY,
        {
            429: ("too_many_searches", "too_much_content"),
            503: (*HISTORY[503], "gateway_busy"),
        },
    ),
)
async def search(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    reads: RecordedReadsDependency,
    _: IdempotencyHeaders,
    body: Annotated[Search, Depends(JSONBody(Search))],
) -> Response:
    """Newest first."""
    response = await forwarder.call(
        upstreams.history, "POST", "/search", caller, body=body.to_json()
    )
    await reads.record(caller, "messages.searched")
    return passthrough_response(response)


@router.get(
    "/sessions/{session_id}/export",
    summary="Export a session",
    response_model=SessionExport,
    responses=responses(_MARKDOWN, SESSION, EXPORT),
    dependencies=[STRICT_QUERY],
)
async def export_session(
    caller: CurrentCaller,
    exporter: ExporterDependency,
    session_id: SessionId,
    query: Annotated[ExportQuery, Query()],
) -> Response:
    """JSON contains all branches, Markdown the current one."""
    return await exporter.export_session(session_id, caller, query.format)


@router.get(
    "/export",
    summary="Export all of one's sessions",
    response_model=Export,
    responses=responses(_MARKDOWN, EXPORT),
    dependencies=[STRICT_QUERY],
)
async def export_all(
    caller: CurrentCaller, exporter: ExporterDependency, query: Annotated[ExportQuery, Query()]
) -> Response:
    """Streamed, of any size; an interrupted export has no end."""
    return exporter.export_all(caller, query.format)


@router.get(
    "/usage",
    summary="Read token usage and cost of replies",
    response_model=UsageReport,
    responses=responses(
        {200: examples.json_example(examples.USAGE_REPORT)}, {403: ("forbidden",)}, HISTORY
    ),
    dependencies=[STRICT_QUERY],
)
async def read_usage(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    query: Annotated[UsageQuery, Query()],
) -> Response:
    """The caller's usage by day, in UTC. A reply is counted within moments of its end, and
    stays counted when its session is erased. Costs use the prices at the time of the reply.
    """
    return await forwarder.get(upstreams.history, "/usage", caller, query.to_query())
