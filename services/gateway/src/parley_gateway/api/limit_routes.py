"""Route of limits: where the caller stands."""

from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from parley_contracts.session_api.limit_bodies import LimitsResponse, LimitStatus
from parley_core.http.errors import decode_response
from parley_core.limits.rules import Limit
from parley_gateway.api import examples
from parley_gateway.api.responses import responses
from parley_gateway.http.request_parsing import STRICT_QUERY
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    RequestLimitsDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.responses import LimitList, LimitStanding

_decode_limits = msgspec.json.Decoder(LimitsResponse).decode

router = APIRouter(prefix="/v1", tags=["limits"])


@router.get(
    "/limits",
    summary="Where one stands: one's limits, and what is used of them",
    response_model=LimitList,
    responses=responses({200: examples.json_example(examples.LIMIT_LIST)}),
    dependencies=[STRICT_QUERY],
)
async def read_limits(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    limits: RequestLimitsDependency,
) -> Response:
    """Empty for a person without limits. Tokens and costs count once a reply has ended; until
    then, what it may cost is `reserved`.
    """
    response = await forwarder.call(upstreams.session, "GET", "/limits", caller)
    of_session = decode_response(response.body, _decode_limits, service="session").limits
    of_requests = [_status(*each) for each in await limits.standing(caller.principal)]
    data = [_standing(status) for status in (*of_requests, *of_session)]
    return Response(LimitList(data=data).to_json(), media_type="application/json")


def _status(limit: Limit, used: int, resets_at: float | None) -> LimitStatus:
    time = None if resets_at is None else datetime.fromtimestamp(resets_at, UTC)
    return LimitStatus(limit.name, limit.value, used, limit.per, limit.api_key, limit.model, time)


def _standing(status: LimitStatus) -> LimitStanding:
    return LimitStanding(
        name=status.name,
        per=status.per,
        limit=status.value,
        used=status.used,
        reserved=status.reserved,
        remaining=max(0, status.value - status.used - status.reserved),
        currency=status.currency,
        resets_at=status.resets_at,
        api_key=status.api_key,
        model=status.model,
    )
