"""Client of the session service: session versions, data keys and search keys."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from parley_contracts.api_models import SessionShape
from parley_contracts.session_api.keys import (
    Person,
    decode_data_keys_response,
    decode_search_keys_response,
    encode_data_keys_request,
    encode_search_keys_request,
)
from parley_contracts.session_api.version_bodies import VersionsResponse
from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import ServiceError, decode_response, service_unavailable
from parley_core.http.service_client import ServiceClient

# A session service that does not respond in this time leaves no time for the rest of a request.
TIMEOUT_SECONDS = 5

_decode_versions = msgspec.json.Decoder(VersionsResponse).decode


class SessionClient:
    """Every call raises the service's own 404, or Unavailable for any other failure."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def version(self, session_id: UUID, caller: Caller) -> int:
        """Return the committed version of the caller's session. Raises ServiceError with 404."""
        path = f"/sessions/{session_id}"
        body = await self._call("GET", path, caller.principal, caller.request_id)
        return decode_response(body, SessionShape.model_validate_json, service="session").version

    async def latest_versions(self, caller: Caller) -> Mapping[UUID, int]:
        """Return the committed versions of the caller's sessions that changed last."""
        body = await self._call("GET", "/latest-versions", caller.principal, caller.request_id)
        return decode_response(body, _decode_versions, service="session").versions

    async def keys(
        self, session_ids: Sequence[UUID], request_id: str
    ) -> Mapping[UUID, DataKey | None]:
        """Return the data keys of at most 100 sessions; None when erased, absent when unknown."""
        principal = self._service.service_principal
        question = encode_data_keys_request(session_ids)
        body = await self._call("POST", "/keys", principal, request_id, question)
        return decode_response(body, decode_data_keys_response, service="session")

    async def search_keys(
        self, people: Sequence[Person], request_id: str
    ) -> Mapping[Person, DataKey | None]:
        """Return the search keys of at most 100 people; None for a person without sessions."""
        question = encode_search_keys_request(people)
        principal = self._service.service_principal
        body = await self._call("POST", "/search-keys", principal, request_id, question)
        return decode_response(body, decode_search_keys_response, service="session")

    async def _call(
        self,
        method: str,
        path: str,
        principal: Principal,
        request_id: str,
        body: bytes | None = None,
    ) -> bytes:
        try:
            response = await self._service.call(
                method,
                path,
                principal=principal,
                request_id=request_id,
                body=body,
                timeout=TIMEOUT_SECONDS,
            )
        except ServiceError as error:
            if error.status == 404 or error.code == "key_unavailable":
                raise
            raise service_unavailable("session") from None
        return response.body
