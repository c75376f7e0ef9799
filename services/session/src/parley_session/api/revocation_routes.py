"""Routes of revocations: administrators revoke tokens of their tenant, gateways follow."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.api_models import Page
from parley_contracts.api_models import Revocation as RevocationShape
from parley_contracts.session_api.revocation_bodies import (
    AllRevocationsResponse,
    RevocationsResponse,
    RevokedTokens,
    RevokeTokensRequest,
)
from parley_core.auth.caller import Caller
from parley_core.http.errors import Forbidden, InvalidRequest
from parley_core.http.pagination import parse_limit
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_idempotent_body
from parley_session.api.responses import json_response, model_response
from parley_session.application.api_keys import ApiKeys
from parley_session.application.revocations import Revocations
from parley_session.application.sessions.update_session import ADMIN_SCOPE
from parley_session.domain.revocation import Revocation


def revocation_routes(revocations: Revocations, api_keys: ApiKeys) -> Sequence[Route]:
    async def revoke_tokens(request: Request) -> Response:
        caller = _administrator(request)
        body, idempotent_request = await decode_idempotent_body(
            request, caller, RevokeTokensRequest
        )
        made = await revocations.revoke(
            caller, body.kind, body.target, body.expires_at, idempotent_request
        )
        return model_response(_shape(made), 201)

    async def list_revocations(request: Request) -> Response:
        tenant = _administrator(request).principal.tenant
        limit = parse_limit(request.query_params)
        found, has_more = await revocations.of_tenant(tenant, _after(request), limit)
        shapes = [_shape(each) for each in found]
        return model_response(Page.of(shapes, has_more=has_more))

    async def read_revocations(_: Request) -> Response:
        keys, complete = await api_keys.recently_revoked()
        tokens, tokens_complete = await revocations.recently_made()
        response = RevocationsResponse([*keys], complete, [*_revoked(tokens)], tokens_complete)
        return json_response(response)

    async def read_all_revocations(request: Request) -> Response:
        found = await revocations.all_after(_after(request))
        return json_response(
            AllRevocationsResponse([*_revoked(found)], found[-1].id if found else None)
        )

    def _administrator(request: Request) -> Caller:
        caller = caller_of(request)
        if ADMIN_SCOPE not in caller.principal.scopes:
            raise Forbidden("This requires a token with the scope admin.", code="missing_scope")
        return caller

    return [
        Route("/revocations", read_revocations),
        Route("/all-revocations", read_all_revocations),
        Route("/token-revocations", list_revocations),
        Route("/token-revocations", revoke_tokens, methods=["POST"]),
    ]


def _after(request: Request) -> UUID | None:
    text = request.query_params.get("after")
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidRequest("Input should be the id of a revocation.", param="after") from None


def _revoked(revocations: Iterable[Revocation]) -> Iterable[RevokedTokens]:
    for each in revocations:
        yield RevokedTokens(each.tenant, each.kind, each.target, each.revoked_at)


def _shape(made: Revocation) -> RevocationShape:
    return RevocationShape(
        id=made.id,
        kind=made.kind,
        target=made.target,
        revoked_by=made.revoked_by,
        revoked_at=made.revoked_at,
        expires_at=made.expires_at,
    )
