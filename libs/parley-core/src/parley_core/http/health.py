"""Health routes: `/healthz` (the process runs) and `/readyz` (it can serve requests now)."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Unavailable = Callable[[], Awaitable[Sequence[str]]]
"""Returns the names of the dependencies that cannot be used now."""


def health_routes(
    unavailable: Unavailable, *, is_stopping: Callable[[], bool] = lambda: False
) -> list[Route]:
    """Answer 503 from `/readyz` while the process is stopping or a dependency is unavailable."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        if is_stopping():
            return JSONResponse({"status": "stopping", "missing": []}, 503)
        if missing := await unavailable():
            return JSONResponse({"status": "unavailable", "missing": [*missing]}, 503)
        return JSONResponse({"status": "ok"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
