"""Admission of completions without a session: session counts them as turns (ADR 49)."""

import msgspec
from starlette.types import Scope

from parley_contracts.session_api.limit_bodies import AdmitCompletionRequest
from parley_core.auth.caller import Caller
from parley_core.http.service_client import ServiceClient
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.limits.limit_headers import pass_limit_headers
from parley_gateway.limits.request_limits import RequestLimits


class CompletionAdmission:
    """Calls session only for a person whose turns or tokens are limited."""

    def __init__(self, limits: RequestLimits, forwarder: Forwarder, session: ServiceClient) -> None:
        self._limits, self._forwarder, self._session = limits, forwarder, session

    async def admit(self, model: str, caller: Caller, scope: Scope) -> None:
        """Raises ServiceError with the refusal of session, or Unavailable."""
        if not self._limits.limits_completions(caller.principal, model):
            return
        body = msgspec.json.encode(AdmitCompletionRequest(model))
        path = "/completions/admission"
        response = await self._forwarder.call(self._session, "POST", path, caller, body=body)
        pass_limit_headers(response.headers, scope)
