"""What history asks of session, as docs/internal-api.md has it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from pydantic import ValidationError

from parley_contracts.api_models import SessionShape
from parley_contracts.session_api.keys import (
    InvalidKeysResponse,
    decode_data_keys_response,
    encode_data_keys_request,
)
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.service_client import ServiceClient, ServiceError


class Person(NamedTuple):
    tenant: str
    user: str


class _SearchKey(msgspec.Struct):
    tenant: str
    user: str
    key: bytes | None


class _SearchKeys(msgspec.Struct):
    keys: Sequence[_SearchKey]


class SessionClient:
    """Each call raises NotFound as session says it, or Unavailable when session does not answer."""

    def __init__(self, service: ServiceClient, seconds: float) -> None:
        self._service, self._seconds = service, seconds

    async def version(self, session_id: UUID, person: Principal, request_id: str) -> int:
        """How far this person's session is; raises session's own 404 where there is none."""
        answer = await self._call("GET", f"/sessions/{session_id}", person, request_id)
        try:
            return SessionShape.model_validate_json(answer).version
        except ValidationError:
            raise _unusable() from None

    async def keys(
        self, session_ids: Sequence[UUID], request_id: str
    ) -> Mapping[UUID, DataKey | None]:
        """The keys of at most 100 sessions that exist; None where one was erased."""
        body = encode_data_keys_request(session_ids)
        principal = self._service.service_principal
        answer = await self._call("POST", "/keys", principal, request_id, body)
        try:
            return decode_data_keys_response(answer)
        except InvalidKeysResponse:
            raise _unusable() from None

    async def search_keys(
        self, people: Sequence[Person], request_id: str
    ) -> Mapping[Person, DataKey | None]:
        """The search keys of at most 100 people, made where needed; None without sessions."""
        body = msgspec.json.encode({"people": [one._asdict() for one in people]})
        principal = self._service.service_principal
        answer = await self._call("POST", "/search-keys", principal, request_id, body)
        try:
            keys = msgspec.json.decode(answer, type=_SearchKeys).keys
            return {Person(one.tenant, one.user): _key(one.key) for one in keys}
        except ValueError:
            raise _unusable() from None

    async def _call(
        self,
        method: str,
        path: str,
        principal: Principal,
        request_id: str,
        body: bytes | None = None,
    ) -> bytes:
        try:
            answer = await self._service.call(
                method,
                path,
                principal=principal,
                request_id=request_id,
                body=body,
                timeout=self._seconds,
            )
        except ServiceError as refused:
            if refused.status == 404:
                raise
            raise _unusable() from None
        return answer.body


def _key(secret: bytes | None) -> DataKey | None:
    return None if secret is None else DataKey(secret)


def _unusable() -> ParleyError:
    return Unavailable("The session service cannot answer; try again.", code="session_unavailable")
