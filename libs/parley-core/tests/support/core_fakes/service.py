"""A configurable fake service and a client of it."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.test_utils import TestServer

from parley_core.auth.principal import InternalSecret, Principal, verify_principal
from parley_core.http.errors import error_body
from parley_core.http.service_client import ServiceClient, http_session

SECRET = InternalSecret(b"s" * 32)
ADA = Principal("acme", "ada", frozenset({"admin"}))
NAMES = {"principal": ADA, "request_id": "r-1"}
TAKEN = error_body("Taken.", type="conflict_error", code="turn_open", param="id")


@asynccontextmanager
async def service(handler, **options):
    """Run a server that answers every request with `handler`; yield a client of it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server, client_of(str(server.make_url("/")), **options) as client:
        yield client


@asynccontextmanager
async def client_of(url, **options):
    async with http_session() as http:
        yield ServiceClient(http, url, caller="gateway", callee="session", secret=SECRET, **options)


def responding(body, **fields):
    async def handler(request):
        return web.Response(body=body, **fields)

    return handler


def verified_principal(request, **changes):
    _, _, token = request.headers["authorization"].partition(" ")
    expected = {"issuers": {"gateway"}, "audience": "session", "now": datetime.now(UTC)}
    return verify_principal(token, SECRET, **expected | changes)


def is_unavailable(raised):
    error = raised.value
    return (
        error.status == 503
        and error.code == "session_unavailable"
        and error.headers == {"retry-after": "1"}
    )
