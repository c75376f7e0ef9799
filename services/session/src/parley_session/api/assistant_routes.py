"""Routes of assistants: everybody lists and reads them, administrators change their tenant's."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.api_models import Assistant, Page
from parley_contracts.session_api.assistants import DefineAssistantRequest, ReviseAssistantRequest
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.http.errors import Forbidden
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import (
    decode_body,
    decode_idempotent_body,
    explicit_fields,
)
from parley_session.api.responses import model_response
from parley_session.application.assistants.administration import AssistantAdministration
from parley_session.application.assistants.assistant_catalogue import (
    AssistantCatalogue,
    CataloguedAssistant,
)
from parley_session.application.assistants.page_query import page_query_of
from parley_session.application.sessions.session_lifetimes import SessionLifetimes
from parley_session.domain.assistant.state import Definition

_WRITE_SCOPES = {"assistants:write", "admin"}


def assistant_routes(
    catalogue: AssistantCatalogue,
    administration: AssistantAdministration,
    lifetimes: SessionLifetimes,
) -> Sequence[Route]:
    async def list_assistants(request: Request) -> Response:
        principal = caller_of(request).principal
        query = page_query_of(request.query_params)
        found, has_more = await catalogue.list_page(principal.tenant, query)
        shapes = [_shape(assistant, principal, lifetimes) for assistant in found]
        return model_response(Page.of(shapes, has_more=has_more))

    async def read_assistant(request: Request) -> Response:
        principal = caller_of(request).principal
        return await _current(principal, request.path_params["assistant_id"])

    async def define_assistant(request: Request) -> Response:
        caller = _administrator(request)
        body, idempotent_request = await decode_idempotent_body(
            request, caller, DefineAssistantRequest
        )
        definition = Definition(
            name=body.name,
            description=body.description,
            instructions=body.instructions,
            model=body.model,
        )
        is_new = await administration.define(
            body.id, definition, caller, allow_existing=idempotent_request is not None
        )
        return await _current(caller.principal, body.id, 201 if is_new else 200)

    async def revise_assistant(request: Request) -> Response:
        caller, assistant_id = _administrator(request), request.path_params["assistant_id"]
        body = await decode_body(request, ReviseAssistantRequest)
        await administration.revise(assistant_id, explicit_fields(body), caller)
        return await _current(caller.principal, assistant_id)

    async def retire_assistant(request: Request) -> Response:
        caller, assistant_id = _administrator(request), request.path_params["assistant_id"]
        await administration.retire(assistant_id, caller)
        return await _current(caller.principal, assistant_id)

    def _administrator(request: Request) -> Caller:
        caller = caller_of(request)
        if not _WRITE_SCOPES & caller.principal.scopes:
            raise Forbidden(
                "This requires a token with the scope assistants:write or admin.",
                code="missing_scope",
            )
        return caller

    async def _current(principal: Principal, assistant_id: str, status: int = 200) -> Response:
        """Bypasses the cache: an administrator must see the change at once."""
        assistant = await catalogue.read(principal.tenant, assistant_id)
        return model_response(_shape(assistant, principal, lifetimes), status)

    assistant = "/assistants/{assistant_id}"
    return [
        Route("/assistants", list_assistants),
        Route("/assistants", define_assistant, methods=["POST"]),
        Route(assistant, read_assistant),
        Route(assistant, revise_assistant, methods=["PATCH"]),
        Route(assistant, retire_assistant, methods=["DELETE"]),
    ]


def _shape(
    assistant: CataloguedAssistant, principal: Principal, lifetimes: SessionLifetimes
) -> Assistant:
    """Includes the instructions for administrators."""
    seen = lifetimes.of(principal.tenant, assistant.shape.id)
    if _WRITE_SCOPES & principal.scopes:
        seen["instructions"] = assistant.instructions
    return assistant.shape.model_copy(update=seen)
