"""The routes of `serve`; the gateway is their only caller."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.guard import Guard, request_id
from parley_history.page_request import page_request_of
from parley_history.reading import Reading

Missing = Callable[[], Awaitable[Sequence[str]]]
"""Names what a process waits for; nothing when it is ready."""


class Parts:
    """What the routes use, put together when the process starts."""

    reading: Reading
    missing: Missing


def routes(guard: Guard, parts: Parts) -> Sequence[Route]:
    async def read_history(request: Request) -> Response:
        person = guard(request)
        asked = page_request_of(request.query_params)
        session_id = request.path_params["session_id"]
        page = await parts.reading.page(session_id, person, request_id(request), asked)
        return Response(page, media_type="application/json")

    async def missing() -> Sequence[str]:
        return await parts.missing()

    return [Route("/history/{session_id:uuid}", read_history), *health_routes(missing)]


def health_routes(missing: Missing) -> Sequence[Route]:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if waits_for := await missing():
            return JSONResponse({"status": "unavailable", "missing": [*waits_for]}, 503)
        return JSONResponse({"status": "ok"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
