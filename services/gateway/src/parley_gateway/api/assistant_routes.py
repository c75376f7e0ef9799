"""Routes of the catalogue: assistants and models."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from parley_contracts.api_models import Assistant
from parley_gateway.api import examples
from parley_gateway.api.responses import ASSISTANT, BODY, COMMAND, MODELS, Codes, responses
from parley_gateway.http.request_parsing import (
    STRICT_QUERY,
    IdempotencyHeaders,
    JSONBody,
    PathAssistantId,
    check_not_empty,
)
from parley_gateway.route_dependencies import (
    CurrentCaller,
    ForwarderDependency,
    ModelsDependency,
    UpstreamsDependency,
)
from parley_gateway.schemas.queries import AssistantsQuery
from parley_gateway.schemas.requests import DefineAssistant, ReviseAssistant
from parley_gateway.schemas.responses import AssistantList, Model, ModelList

_ASSISTANT = examples.json_example(examples.ASSISTANT)
_FORBIDDEN: Codes = {403: ("missing_scope", "assistant_shared")}


router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get(
    "/assistants",
    summary="List the assistants",
    response_model=AssistantList,
    responses=responses({200: examples.json_example(examples.ASSISTANT_LIST)}),
    dependencies=[STRICT_QUERY],
)
async def list_assistants(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    query: Annotated[AssistantsQuery, Query()],
) -> Response:
    return await forwarder.get(upstreams.session, "/assistants", caller, query.to_query())


@router.post(
    "/assistants",
    summary="Define an assistant of one's tenant",
    status_code=201,
    response_model=Assistant,
    responses=responses(
        {201: _ASSISTANT, 200: _ASSISTANT | {"model": Assistant}},
        COMMAND,
        {403: ("missing_scope",), 409: ("assistant_id_taken", "assistants_full")},
    ),
)
async def define_assistant(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    headers: IdempotencyHeaders,
    body: Annotated[DefineAssistant, Depends(JSONBody(DefineAssistant))],
) -> Response:
    """Requires the scope `assistants:write` or `admin`."""
    return await forwarder.forward_command("POST", "/assistants", caller, body.to_json(), headers)


@router.get(
    "/assistants/{assistant_id}",
    summary="Read an assistant",
    response_model=Assistant,
    responses=responses({200: _ASSISTANT}, ASSISTANT),
)
async def read_assistant(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    upstreams: UpstreamsDependency,
    assistant_id: PathAssistantId,
) -> Response:
    """Retired assistants can be read too."""
    return await forwarder.get(upstreams.session, f"/assistants/{assistant_id}", caller)


@router.patch(
    "/assistants/{assistant_id}",
    summary="Revise an assistant of one's tenant",
    response_model=Assistant,
    responses=responses(
        {200: _ASSISTANT},
        BODY,
        ASSISTANT,
        _FORBIDDEN,
        {409: ("assistant_changed", "assistant_retired")},
    ),
)
async def revise_assistant(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    assistant_id: PathAssistantId,
    body: Annotated[ReviseAssistant, Depends(JSONBody(ReviseAssistant))],
) -> Response:
    """Requires the scope `assistants:write` or `admin`. Applies from the next message; earlier
    versions are kept.
    """
    check_not_empty(body)
    path = f"/assistants/{assistant_id}"
    return await forwarder.forward_command("PATCH", path, caller, body.to_json())


@router.delete(
    "/assistants/{assistant_id}",
    summary="Retire an assistant of one's tenant",
    response_model=Assistant,
    responses=responses({200: _ASSISTANT}, ASSISTANT, _FORBIDDEN, {409: ("assistant_changed",)}),
)
async def retire_assistant(
    caller: CurrentCaller,
    forwarder: ForwarderDependency,
    assistant_id: PathAssistantId,
) -> Response:
    """Requires the scope `assistants:write` or `admin`. The assistant accepts no new session;
    existing ones continue.
    """
    return await forwarder.forward_command("DELETE", f"/assistants/{assistant_id}", caller)


@router.get(
    "/models",
    summary="List the models",
    response_model=ModelList,
    responses=responses({200: examples.json_example(examples.MODEL_LIST)}, MODELS),
)
async def list_models(
    caller: CurrentCaller, forwarder: ForwarderDependency, upstreams: UpstreamsDependency
) -> Response:
    return await forwarder.get(upstreams.inference, "/models", caller)


# Model names contain slashes.
@router.get(
    "/models/{model:path}",
    summary="Read a model",
    response_model=Model,
    responses=responses(
        {200: examples.json_example(examples.MODEL)}, MODELS, {404: ("model_not_found",)}
    ),
)
async def read_model(caller: CurrentCaller, models: ModelsDependency, model: str) -> Response:
    return JSONResponse(await models.find(model, caller))
