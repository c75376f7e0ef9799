"""Probes on the public port, for load balancers that check the port to which they send requests."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from parley_core.process.operational_routes import is_alive, is_ready
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
    async def livez() -> Response:
        return is_alive(state)

    @router.get(
        "/readyz",
        summary="Whether the process accepts requests: it has started and does not shut down",
        response_model=Health,
        responses=responses,
    )
    async def readyz() -> Response:
        return is_ready(state)

    return router
