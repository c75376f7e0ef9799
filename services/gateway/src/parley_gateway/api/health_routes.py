"""Probes on the public port, for load balancers that check the port to which they send requests."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from parley_core.process.operational_routes import liveness, readiness
from parley_gateway.route_dependencies import ProcessStateDependency
from parley_gateway.schemas.responses import Health, NotReady

_RESPONSES: dict[int | str, dict[str, Any]] = {503: {"model": NotReady, "description": "Not now."}}

router = APIRouter(tags=["operation"])


@router.get(
    "/livez",
    summary="Whether the process is alive",
    response_model=Health,
    responses=_RESPONSES,
)
async def is_alive(state: ProcessStateDependency) -> Response:
    return liveness(state)


@router.get(
    "/readyz",
    summary="Whether the process accepts requests: it has started and does not shut down",
    response_model=Health,
    responses=_RESPONSES,
)
async def is_ready(state: ProcessStateDependency) -> Response:
    return readiness(state)
