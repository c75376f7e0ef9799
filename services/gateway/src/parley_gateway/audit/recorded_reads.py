"""Records reads in the audit trail before they are answered."""

from uuid import UUID

import msgspec

from parley_contracts.session_api.audit_bodies import ReadAction, RecordReadRequest
from parley_core.auth.caller import Caller
from parley_core.http.service_client import ServiceClient
from parley_gateway.http.forwarding import Forwarder


class RecordedReads:
    def __init__(self, forwarder: Forwarder, session: ServiceClient) -> None:
        self._forwarder, self._session = forwarder, session

    async def record(
        self, caller: Caller, action: ReadAction, session_id: UUID | None = None
    ) -> None:
        """The first byte may be sent once this returns. Raises a ParleyError of status 503."""
        body = msgspec.json.encode(RecordReadRequest(action, session_id))
        await self._forwarder.call(self._session, "POST", "/audit/reads", caller, body=body)
