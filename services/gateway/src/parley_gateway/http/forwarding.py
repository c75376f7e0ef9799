"""Forwards calls to the services on behalf of the caller; response bodies pass through unparsed."""

from collections.abc import Mapping

from starlette.responses import Response

from parley_core.auth.caller import Caller
from parley_core.http.service_client import ServiceClient, ServiceResponse


class Forwarder:
    def __init__(self, session: ServiceClient, *, timeout_seconds: float) -> None:
        self._session, self._timeout_seconds = session, timeout_seconds

    async def call(
        self,
        service: ServiceClient,
        method: str,
        path: str,
        caller: Caller,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ServiceResponse:
        return await service.call(
            method,
            path,
            principal=caller.principal,
            request_id=caller.request_id,
            body=body,
            query=query,
            headers=headers,
            timeout=self._timeout_seconds,
        )

    async def get(
        self,
        service: ServiceClient,
        path: str,
        caller: Caller,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        return passthrough_response(await self.call(service, "GET", path, caller, query=query))

    async def forward_command(
        self,
        method: str,
        path: str,
        caller: Caller,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A command to the session service."""
        response = await self.call(self._session, method, path, caller, body=body, headers=headers)
        return passthrough_response(response)


def passthrough_response(response: ServiceResponse) -> Response:
    return Response(response.body, response.status, media_type="application/json")
