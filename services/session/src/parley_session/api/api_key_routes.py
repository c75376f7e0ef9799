"""Routes of API keys: people manage their own, the gateway authenticates those that it receives."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.api_models import ApiKey, ApiKeyDeleted, CreatedApiKey, Page
from parley_contracts.session_api.api_key_bodies import (
    AuthenticateApiKeysRequest,
    AuthenticateApiKeysResponse,
    AuthenticatedApiKey,
    CreateApiKeyRequest,
)
from parley_core.auth.caller import Caller
from parley_core.http.errors import Forbidden
from parley_core.http.service_auth import caller_of
from parley_session.api.request_parsing import decode_body, decode_idempotent_body
from parley_session.api.responses import json_response, model_response
from parley_session.application.api_keys import ApiKeys
from parley_session.domain.api_key_state import ApiKeyDefinition, ApiKeyState


def api_key_routes(api_keys: ApiKeys) -> Sequence[Route]:
    async def create_api_key(request: Request) -> Response:
        caller = _person(request)
        body, idempotent_request = await decode_idempotent_body(
            request, caller, CreateApiKeyRequest
        )
        limits = body.limits.values() if body.limits else {}
        definition = ApiKeyDefinition(
            body.name,
            [*dict.fromkeys(body.scopes)],
            None if body.models is None else [*dict.fromkeys(body.models)],
            body.expires_at,
            {str(name): value for name, value in limits.items()},
        )
        key, credential, is_new = await api_keys.create(caller, definition, idempotent_request)
        created = CreatedApiKey(**dict(_shape(key)), key=credential)
        return model_response(created, 201 if is_new else 200)

    async def list_api_keys(request: Request) -> Response:
        keys = await api_keys.keys_of(_person(request).principal)
        shapes = [_shape(key) for key in keys]
        return model_response(Page.of(shapes))

    async def revoke_api_key(request: Request) -> Response:
        key_id = request.path_params["key_id"]
        await api_keys.revoke(key_id, _person(request))
        return model_response(ApiKeyDeleted(id=key_id))

    async def authenticate_api_keys(request: Request) -> Response:
        body = await decode_body(request, AuthenticateApiKeysRequest)
        found = await api_keys.authenticate(body.keys)
        keys = [_authenticated(key) if key else None for key in found]
        return json_response(AuthenticateApiKeysResponse(keys))

    def _person(request: Request) -> Caller:
        """A leaked key must not make others, nor revoke those that replace it."""
        caller = caller_of(request)
        if caller.principal.api_key is not None:
            raise Forbidden(
                "API keys are managed with the token of a person who has signed in.",
                code="api_key_not_allowed",
            )
        return caller

    return [
        Route("/api-keys/authenticate", authenticate_api_keys, methods=["POST"]),
        Route("/api-keys", list_api_keys),
        Route("/api-keys", create_api_key, methods=["POST"]),
        Route("/api-keys/{key_id:uuid}", revoke_api_key, methods=["DELETE"]),
    ]


def _shape(key: ApiKeyState) -> ApiKey:
    definition = key.definition
    return ApiKey(
        id=key.id,
        name=definition.name,
        scopes=[*definition.scopes],
        models=None if definition.models is None else [*definition.models],
        created_at=key.created_at,
        expires_at=definition.expires_at,
        limits=dict(definition.limits),
        last_used_on=key.last_used_on,
    )


def _authenticated(key: ApiKeyState) -> AuthenticatedApiKey:
    definition = key.definition
    return AuthenticatedApiKey(
        key.id,
        key.tenant,
        key.owner,
        definition.scopes,
        definition.models,
        key.created_at,
        definition.expires_at,
        definition.limits,
    )
