"""Health routes: liveness and readiness."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from parley_gateway.http.stream_limiter import StreamLimiter
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.schemas.responses import Health, NotReady


def health_routes(upstreams: Upstreams, streams: StreamLimiter) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get(
        "/healthz",
        summary="Whether the process is alive",
        response_model=Health,
    )
    async def is_alive() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        summary="Whether the process can serve requests; names unavailable services",
        response_model=Health,
        responses={503: {"model": NotReady, "description": "Not ready."}},
    )
    async def is_ready() -> Response:
        if streams.draining:
            return JSONResponse({"status": "stopping", "missing": []}, 503)
        if unavailable := await upstreams.unavailable():
            return JSONResponse({"status": "unavailable", "missing": unavailable}, 503)
        return JSONResponse({"status": "ok"})

    return router
