"""Routes of administrators: revocations of tokens, and the audit trail of the tenant."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from parley_contracts.api_models import Revocation
from parley_gateway.api import examples
from parley_gateway.api.responses import COMMAND, Codes, responses
from parley_gateway.http.request_parsing import STRICT_QUERY, IdempotencyHeaders, JSONBody
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.queries import AuditQuery, RevocationsQuery
from parley_gateway.schemas.requests import RevokeTokens
from parley_gateway.schemas.responses import AuditPage, RevocationPage

_FORBIDDEN: Codes = {403: ("missing_scope",)}


router = APIRouter(prefix="/v1", tags=["administration"])


@router.post(
    "/admin/revocations",
    summary="Revoke a token, or all tokens of a user or of the tenant",
    status_code=201,
    response_model=Revocation,
    responses=responses(
        {201: examples.json_example(examples.REVOCATION)},
        COMMAND,
        _FORBIDDEN,
        {409: ("revocations_full",)},
    ),
)
async def revoke_tokens(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    body: Annotated[RevokeTokens, Depends(JSONBody(RevokeTokens))],
) -> Response:
    """Requires the scope `admin`. Every gateway refuses the tokens within 2 seconds, and ends
    the streams that they opened within 15 seconds; replies in progress are still stored. Tokens
    of a user or tenant are refused if they were issued before, or do not say when (`iat`).
    With those of the tenant, its API keys are refused too.

    Revoking again refuses the tokens that were issued meanwhile.
    """
    return await forwarder.forward_command(
        "POST", "/token-revocations", caller, body.to_json(), headers
    )


@router.get(
    "/admin/revocations",
    summary="List the revocations of the tenant, latest first",
    response_model=RevocationPage,
    responses=responses({200: examples.json_example(examples.REVOCATION_PAGE)}, _FORBIDDEN),
    dependencies=[STRICT_QUERY],
)
async def list_revocations(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    query: Annotated[RevocationsQuery, Query()],
) -> Response:
    """Requires the scope `admin`. A revocation is listed until `expires_at`, when none of its
    tokens can be valid any more; that of the tenant stays, for its API keys.
    """
    return await forwarder.get(upstreams.session, "/token-revocations", caller, query.to_query())


@router.get(
    "/audit",
    summary="Read the audit trail of the tenant",
    response_model=AuditPage,
    responses=responses({200: examples.json_example(examples.AUDIT_PAGE)}, _FORBIDDEN),
    dependencies=[STRICT_QUERY],
)
async def read_audit_trail(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    query: Annotated[AuditQuery, Query()],
) -> Response:
    """Requires the scope `audit:read`. Who did what in the tenant, and who was refused it:
    ids, never what people said. Of refused access by one person from one address, a sample is
    recorded, and with `left_out` how many more there were.
    """
    return await forwarder.get(upstreams.session, "/audit", caller, query.to_query())
