"""Admission of completions without a session: session counts them as turns (ADR 49, 55)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import msgspec
from starlette.types import Scope

from parley_contracts.session_api.limit_bodies import (
    AdmitCompletionRequest,
    AdmitCompletionResponse,
)
from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError, decode_response
from parley_core.http.service_client import ServiceClient
from parley_gateway.http.forwarding import Forwarder
from parley_gateway.limits.limit_headers import pass_limit_headers
from parley_gateway.limits.request_limits import RequestLimits

_PATH = "/completions/admission"

_decode = msgspec.json.Decoder(AdmitCompletionResponse).decode


class CompletionAdmission:
    """Calls session only for a person whose turns, tokens or costs are limited."""

    def __init__(self, limits: RequestLimits, forwarder: Forwarder, session: ServiceClient) -> None:
        self._limits, self._forwarder, self._session = limits, forwarder, session

    @asynccontextmanager
    async def admit(
        self,
        model: str,
        sized: Callable[[], AdmitCompletionRequest],
        caller: Caller,
        scope: Scope,
    ) -> AsyncIterator[UUID | None]:
        """The completion runs in the block, under this id if a budget was reserved for it.

        `sized` is called if there is a budget, which needs the size of the request.
        Raises ServiceError with the refusal of session, or Unavailable.
        """
        if not self._limits.limits_completions(caller.principal, model):
            yield None
            return
        has_budget = self._limits.has_budget(caller.principal, model)
        body = msgspec.json.encode(sized() if has_budget else AdmitCompletionRequest(model))
        response = await self._forwarder.call(self._session, "POST", _PATH, caller, body=body)
        pass_limit_headers(response.headers, scope)
        id = decode_response(response.body, _decode, service="session").id
        try:
            yield id
        except ParleyError:
            # Inference refused it, stopped it, or was not reached. What it used nevertheless is
            # recorded, and counted then.
            if id is not None:
                await self._release(id, caller)
            raise

    async def _release(self, id: UUID, caller: Caller) -> None:
        # The reservation ends after some minutes otherwise.
        with suppress(ParleyError):
            await self._forwarder.call(self._session, "DELETE", f"{_PATH}/{id}", caller)
