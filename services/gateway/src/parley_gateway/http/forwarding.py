"""Calls passed on to a service in the name of who asks, and answered as it answers.

Nothing is gained by decoding an answer again; `openapi` describes what the routes take and give.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from parley_core.http.service_client import ServiceClient, ServiceResponse
from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.request_parsing import body_of, idempotency_header
from parley_gateway.parts import Parts
from parley_gateway.schemas.fields import RequestShape
from parley_gateway.turns.limits import TurnLimits

Handler = Callable[[Request], Awaitable[Response]] | ASGIApp
Routes = Mapping[str, Mapping[str, Handler]]
"""By path, then by method. A handler that is a class's instance is an ASGI application."""

Check = Callable[[Any], None]


def no_extra_validation(_: Any) -> None:
    """The shape of a body says it all."""


class Forwarder:
    def __init__(self, parts: Parts, limits: TurnLimits) -> None:
        self._parts, self._limits = parts, limits

    async def ask(
        self,
        peer: ServiceClient,
        method: str,
        path: str,
        asker: Caller,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ServiceResponse:
        return await peer.call(
            method,
            path,
            principal=asker.principal,
            request_id=asker.request_id,
            body=body,
            query=query,
            headers=headers,
            timeout=self._limits.call,
        )

    async def read(
        self,
        peer: ServiceClient,
        path: str,
        asker: Caller,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        return passthrough_response(await self.ask(peer, "GET", path, asker, query=query))

    async def command(
        self,
        request: Request,
        path: str,
        shape: type[RequestShape],
        check: Check = no_extra_validation,
    ) -> Response:
        """One for session, with the request's body; whoever asked then reads what it did."""
        asker = await self._parts.authenticate(request)
        return await self.command_of(asker, request, path, shape, check)

    async def command_of(
        self,
        asker: Caller,
        request: Request,
        path: str,
        shape: type[RequestShape],
        check: Check = no_extra_validation,
    ) -> Response:
        """As `command`, where the asker is known."""
        key = idempotency_header(request) if request.method == "POST" else {}
        asked = await body_of(request, shape, self._limits.body)
        check(asked)
        session = self._parts.peers.session
        answer = await self.ask(
            session, request.method, path, asker, body=asked.to_json(), headers=key
        )
        self._parts.writes.record_from_response(asker.principal, answer.body)
        return passthrough_response(answer)


def passthrough_response(answer: ServiceResponse) -> Response:
    return Response(answer.body, answer.status, media_type="application/json")
