"""Probes on the public port, for load balancers that check the port to which they send requests."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from parley_core.process.operational_routes import liveness, readiness
from parley_core.process.process_state import ProcessState
from parley_gateway.schemas.responses import Health, NotReady


def health_routes(state: ProcessState) -> APIRouter:
    router = APIRouter(tags=["operation"])
    responses: dict[int | str, dict[str, Any]] = {
        503: {"model": NotReady, "description": "Not now."}
    }

    @router.get(
        "/livez",
        summary="Whether the process is alive",
        response_model=Health,
        responses=responses,
    )
    async def is_alive() -> Response:
        return liveness(state)

    @router.get(
        "/readyz",
        summary="Whether the process accepts requests: it has started and does not shut down",
        response_model=Health,
        responses=responses,
    )
    async def is_ready() -> Response:
        return readiness(state)

    return router
