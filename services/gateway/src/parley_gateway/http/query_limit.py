"""Limits the number of query parameters before they are parsed."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_core.http.errors import InvalidRequest, error_body

# No route has half as many. FastAPI's work grows with the square of their number.
MAX_QUERY_PARAMETERS = 32


class QueryLimit:
    """ASGI middleware: 400 `invalid_request` for over MAX_QUERY_PARAMETERS parameters.

    Belongs inside of RequestObserver, which gives the response its x-request-id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"].count(b"&") >= MAX_QUERY_PARAMETERS:
            error = InvalidRequest(
                f"A URL has at most {MAX_QUERY_PARAMETERS} query parameters.", param="query"
            )
            content = error_body(error.message, type=error.type, code=error.code, param=error.param)
            await JSONResponse(content, error.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)
