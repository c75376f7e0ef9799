"""What history asks of session, as docs/internal-api.md has it."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from parley_core.calls import Relayed, ServiceClient
from parley_core.errors import ParleyError, Unavailable
from parley_core.principal import Principal
from parley_core.sealing import DataKey


class SessionClient:
    """Each call raises NotFound as session says it, or Unavailable when session does not answer."""

    def __init__(self, service: ServiceClient, seconds: float) -> None:
        self._service, self._seconds = service, seconds

    async def require(self, session_id: UUID, person: Principal, request_id: str) -> None:
        """Return if this person has such a session; raises session's own 404 otherwise."""
        await self._call("GET", f"/sessions/{session_id}", person, request_id)

    async def keys(
        self, session_ids: Sequence[UUID], request_id: str
    ) -> Mapping[UUID, DataKey | None]:
        """The keys of at most 100 sessions that exist; None where one was erased."""
        body = msgspec.json.encode({"session_ids": session_ids})
        principal = self._service.service_principal
        answer = await self._call("POST", "/keys", principal, request_id, body)
        try:
            keys = msgspec.json.decode(answer, type=_KeysAnswer).keys
            return {session_id: _key(encoded) for session_id, encoded in keys.items()}
        except (ValueError, binascii.Error):
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
        except Relayed as refused:
            if refused.status == 404:
                raise
            raise _unusable() from None
        return answer.body


class _KeysAnswer(msgspec.Struct):
    keys: dict[UUID, str | None]


def _key(encoded: str | None) -> DataKey | None:
    return None if encoded is None else DataKey(base64.b64decode(encoded, validate=True))


def _unusable() -> ParleyError:
    return Unavailable("The session service cannot answer; try again.", code="session_unavailable")
