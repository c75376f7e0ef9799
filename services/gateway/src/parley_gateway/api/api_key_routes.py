"""Routes of API keys, with which people's programs call."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from parley_contracts.api_models import ApiKeyDeleted, CreatedApiKey
from parley_gateway.api import examples
from parley_gateway.api.responses import COMMAND, Codes, responses
from parley_gateway.http.request_parsing import STRICT_QUERY, IdempotencyHeaders, JSONBody
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.fields import Id
from parley_gateway.schemas.requests import CreateApiKey
from parley_gateway.schemas.responses import ApiKeyList

_FORBIDDEN: Codes = {403: ("api_key_not_allowed",)}


router = APIRouter(prefix="/v1", tags=["api keys"])


@router.post(
    "/api-keys",
    summary="Create an API key for a program of one's own",
    status_code=201,
    response_model=CreatedApiKey,
    responses=responses(
        {
            201: examples.json_example(examples.CREATED_API_KEY),
            200: examples.json_example(examples.CREATED_API_KEY) | {"model": CreatedApiKey},
        },
        COMMAND,
        {403: ("missing_scope", "api_key_not_allowed"), 409: ("api_keys_full",)},
    ),
)
async def create_api_key(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    body: Annotated[CreateApiKey, Depends(JSONBody(CreateApiKey))],
) -> Response:
    """`key` is what the program sends as its bearer token. It is shown only here."""
    return await forwarder.forward_command("POST", "/api-keys", caller, body.to_json(), headers)


@router.get(
    "/api-keys",
    summary="List one's API keys, newest first",
    response_model=ApiKeyList,
    responses=responses({200: examples.json_example(examples.API_KEY_LIST)}, _FORBIDDEN),
    dependencies=[STRICT_QUERY],
)
async def list_api_keys(
    caller: CurrentCaller, forwarder: ForwarderDependency, upstreams: UpstreamsDependency
) -> Response:
    """All of them, at most 100, without revoked ones."""
    return await forwarder.get(upstreams.session, "/api-keys", caller)


@router.delete(
    "/api-keys/{key_id}",
    summary="Revoke an API key",
    response_model=ApiKeyDeleted,
    responses=responses(
        {200: examples.json_example(examples.API_KEY_DELETED)},
        _FORBIDDEN,
        {404: ("api_key_not_found",)},
    ),
)
async def revoke_api_key(
    caller: CurrentCaller, forwarder: ForwarderDependency, key_id: Annotated[Id, Path()]
) -> Response:
    """Every gateway refuses it within 2 seconds. Replies that it started still end."""
    return await forwarder.forward_command("DELETE", f"/api-keys/{key_id}", caller)
