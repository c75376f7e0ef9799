"""The routes of the catalogue: everyone reads it, administrators change their tenant's part."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.api_models import Assistant, Page
from parley_contracts.session_api.assistants import DefineAssistantRequest, ReviseAssistantRequest
from parley_core.auth.principal import Principal
from parley_core.http.errors import Forbidden
from parley_core.http.service_auth import ServiceAuthenticator, request_id
from parley_session.api.request_parsing import decode_body, decode_idempotent_body, explicit_fields
from parley_session.api.responses import shape_answer
from parley_session.application.assistants.assistant_catalogue import CataloguedAssistant
from parley_session.application.assistants.page_query import page_query_of
from parley_session.application.command_executor import Caller
from parley_session.domain.assistant.state import Definition
from parley_session.parts import Parts

_SCOPES = {"assistants:write", "admin"}


def assistant_routes(gateway: ServiceAuthenticator, parts: Parts) -> Sequence[Route]:
    """`gateway` guards them all."""

    async def list_assistants(request: Request) -> Response:
        person = gateway(request)
        query = page_query_of(request.query_params)
        found, more = await parts.catalogue.listed(person.tenant, query)
        shapes = [_shape(assistant, person) for assistant in found]
        ids: list[str | None] = [shape.id for shape in shapes] or [None]
        return shape_answer(Page(data=shapes, first_id=ids[0], last_id=ids[-1], has_more=more))

    async def read_assistant(request: Request) -> Response:
        return await _as_it_is(gateway(request), request.path_params["assistant_id"])

    async def define_assistant(request: Request) -> Response:
        asker = _administrator(request)
        body, keyed = await decode_idempotent_body(request, asker, DefineAssistantRequest)
        definition = Definition(
            name=body.name,
            description=body.description,
            instructions=body.instructions,
            model=body.model,
        )
        new = await parts.administering.define(body.id, definition, asker, again=keyed is not None)
        return await _as_it_is(asker.person, body.id, 201 if new else 200)

    async def revise_assistant(request: Request) -> Response:
        asker, assistant_id = _administrator(request), request.path_params["assistant_id"]
        body = await decode_body(request, ReviseAssistantRequest)
        await parts.administering.revise(assistant_id, explicit_fields(body), asker)
        return await _as_it_is(asker.person, assistant_id)

    async def retire_assistant(request: Request) -> Response:
        asker, assistant_id = _administrator(request), request.path_params["assistant_id"]
        await parts.administering.retire(assistant_id, asker)
        return await _as_it_is(asker.person, assistant_id)

    def _administrator(request: Request) -> Caller:
        person = gateway(request)
        if not _SCOPES & person.scopes:
            raise Forbidden(
                "This needs a token with the scope assistants:write or admin.",
                code="missing_scope",
            )
        return Caller(person, request_id(request))

    async def _as_it_is(person: Principal, assistant_id: str, status: int = 200) -> Response:
        return shape_answer(
            _shape(await parts.catalogue.read(person.tenant, assistant_id), person), status
        )

    one = "/assistants/{assistant_id}"
    return [
        Route("/assistants", list_assistants),
        Route("/assistants", define_assistant, methods=["POST"]),
        Route(one, read_assistant),
        Route(one, revise_assistant, methods=["PATCH"]),
        Route(one, retire_assistant, methods=["DELETE"]),
    ]


def _shape(assistant: CataloguedAssistant, person: Principal) -> Assistant:
    """With what the model is told, for administrators."""
    if not _SCOPES & person.scopes:
        return assistant.shape
    return assistant.shape.model_copy(update={"instructions": assistant.instructions})
