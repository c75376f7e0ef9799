"""Routes of keys: data keys of sessions, and search keys of people."""

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley_contracts.session_api.keys import (
    DataKeysRequest,
    DataKeysResponse,
    SearchKey,
    SearchKeysRequest,
    SearchKeysResponse,
)
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.service_auth import caller_of, calling_service
from parley_session.api.request_parsing import decode_body
from parley_session.api.responses import json_response
from parley_session.application.audit.audit_trail import AuditTrail
from parley_session.storage.event_store import EventStore
from parley_session.storage.keys.search_keys import SearchKeys


def key_routes(store: EventStore, search_keys: SearchKeys, audit: AuditTrail) -> Sequence[Route]:
    async def read_data_keys(request: Request) -> Response:
        body = await decode_body(request, DataKeysRequest)
        # History opens what people read, which is not recorded.
        if calling_service(request) != "history":
            address = request.client.host if request.client else None
            operator = replace(caller_of(request), client_address=address)
            await audit.record_opened_keys(operator, body.session_ids)
        keys = await store.data_keys(body.session_ids)
        secrets = {session_id: _secret(key) for session_id, key in keys.items()}
        return json_response(DataKeysResponse(secrets))

    async def read_search_keys(request: Request) -> Response:
        body = await decode_body(request, SearchKeysRequest)
        people = [Principal(person.tenant, person.user) for person in body.people]
        keys = await search_keys.get_or_create(people)
        found = [
            SearchKey(person.tenant, person.user, _secret(key))
            for person, key in zip(people, keys, strict=True)
        ]
        return json_response(SearchKeysResponse(found))

    return [
        Route("/keys", read_data_keys, methods=["POST"]),
        Route("/search-keys", read_search_keys, methods=["POST"]),
    ]


def _secret(key: DataKey | None) -> bytes | None:
    return key.secret if key else None
