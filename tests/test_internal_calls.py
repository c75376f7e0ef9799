"""The table of calls between services: the documented one, the routes, and who may call each."""

import re
from collections.abc import Mapping, Set
from pathlib import Path
from unittest.mock import MagicMock

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_contracts.internal_calls import HISTORY_CALLS, INFERENCE_CALLS, SESSION_CALLS
from parley_core.auth.principal import Principal
from parley_core.auth.service_keys import CALLING_SERVICES
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_auth import ServiceAuthenticator
from parley_core.process.process_monitor import ProcessMonitor
from parley_history.routes import history_routes
from parley_inference.api.routes import routes as inference_routes
from parley_session.app import routes as session_routes
from parley_testing.peers import service_keys, signed

PAGE = Path(__file__).parents[1] / "docs/internal-api.md"
_PARAMETER = re.compile(r"\{(\w+):uuid\}")
ID = "0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e"
CALLS = {"session": SESSION_CALLS, "inference": INFERENCE_CALLS, "history": HISTORY_CALLS}
ANY = MagicMock()
ROUTES = {
    "session": session_routes(ANY),
    "inference": inference_routes(ANY, ANY, ANY),
    "history": history_routes(pages=ANY, sessions=ANY, search=ANY, exporter=ANY, usage=ANY),
}


def documented() -> Mapping[str, Mapping[str, Set[str]]]:
    found: dict[str, dict[str, Set[str]]] = {}
    for callee, calls, callers in re.findall(
        r"^\| (\w+) \| (`[A-Z].*?`) \| ([\w, ]+) \|", PAGE.read_text(), re.M
    ):
        for methods, path in re.findall(r"`([A-Z/]+) (\S+)`", calls):
            for method in methods.split("/"):
                found.setdefault(callee, {})[f"{method} {path}"] = {*callers.split(", ")}
    del found["all"]
    return found


def test_the_table_is_the_documented_one() -> None:
    table = {
        callee: {_PARAMETER.sub(r"{\1}", call): callers for call, callers in calls.items()}
        for callee, calls in CALLS.items()
    }
    assert table == documented()


@pytest.mark.parametrize("callee", CALLS)
def test_the_table_has_every_route_and_no_other(callee: str) -> None:
    routes = [
        f"{method} {route.path}"
        for route in ROUTES[callee]
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert sorted(routes) == sorted(CALLS[callee])


@pytest.mark.parametrize("callee", CALLS)
async def test_each_service_makes_the_calls_of_the_table_and_no_other(callee: str) -> None:
    async def reached(_: Request) -> Response:
        return JSONResponse({})

    stubs = [Route(each.path, reached, methods=each.methods) for each in ROUTES[callee]]
    authenticator = ServiceAuthenticator(service_keys(), CALLS[callee], service=callee)
    app = Starlette(routes=authenticator.authenticated(stubs))
    app.add_middleware(RequestObserver, metrics=ProcessMonitor("test").requests)
    install_error_handlers(app)
    ada = Principal("acme", "ada", frozenset({"admin"}))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://callee") as client:
        for call, callers in CALLS[callee].items():
            method, template = call.split(" ")
            path = re.sub(r"\{.+?\}", ID, template)
            outcomes = {}
            for caller in CALLING_SERVICES:
                token = signed(ada, issuer=caller, audience=callee)
                headers = {"authorization": f"Bearer {token}"}
                response = await client.request(method, path, headers=headers)
                code = response.json().get("error", {}).get("code")
                outcomes[caller] = response.status_code, code
            assert outcomes == {
                caller: (200, None) if caller in callers else (403, "service_not_allowed")
                for caller in CALLING_SERVICES
            }, call
            assert (await client.request(method, path)).status_code == 401


def test_only_history_and_the_command_line_may_fetch_keys() -> None:
    assert SESSION_CALLS["POST /keys"] == {"history", "cli"}
    assert SESSION_CALLS["POST /search-keys"] == {"history"}
