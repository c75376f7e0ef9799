"""What history asks of session, as docs/internal-api.md has it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from parley_core.calls import Relayed, ServiceClient
from parley_core.data_keys import KeysMalformed, keys_answered, keys_question
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
        body = keys_question(session_ids)
        principal = self._service.service_principal
        answer = await self._call("POST", "/keys", principal, request_id, body)
        try:
            return keys_answered(answer)
        except KeysMalformed:
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


def _unusable() -> ParleyError:
    return Unavailable("The session service cannot answer; try again.", code="session_unavailable")
