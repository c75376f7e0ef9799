"""A configurable fake service and a client of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.http.errors import Unavailable, error_body
from parley_core.http.service_client import ServiceClient, http_session
from parley_testing.peers import service_keys, signing_key

ADA = Principal("acme", "ada", frozenset({"admin"}))
NAMES: dict[str, Any] = {"principal": ADA, "request_id": "r-1"}
TAKEN = error_body("Taken.", type="conflict_error", code="turn_open", param="id")


@asynccontextmanager
async def service(handler: Callable[..., Any], **options: Any) -> AsyncIterator[ServiceClient]:
    """Run a server that answers every request with `handler`; yield a client of it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server, client_of(str(server.make_url("/")), **options) as client:
        yield client


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[Any]:
    async with http_session() as http:
        yield ServiceClient(http, url, callee="session", key=signing_key("gateway"), **options)


def responding(body: bytes | str, **fields: Any) -> Callable[..., Any]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, **fields)

    return handler


def verified_principal(request: web.Request, **changes: Any) -> Principal:
    _, _, token = request.headers["authorization"].partition(" ")
    expected: dict[str, Any] = {"audience": "session", "now": datetime.now(UTC)} | changes
    verifier = PrincipalVerifier(service_keys(), audience=expected["audience"])
    return verifier.verify(token, expected["now"]).principal


def is_unavailable(raised: pytest.ExceptionInfo[Unavailable]) -> bool:
    error = raised.value
    return (
        error.status == 503
        and error.code == "session_unavailable"
        and error.headers == {"retry-after": "1"}
    )
