"""Benchmark of the signatures of internal calls: Ed25519, and HMAC as the baseline.

A call of a principal whose token is reused is the baseline of one whose token is new.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from statistics import median
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.table import Row, print_table
from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import LIFETIME_SECONDS, decode_principal_token
from parley_core.http.request_observer import RequestObserver
from parley_core.http.service_auth import ServiceAuthenticator, caller_of
from parley_core.http.service_client import ServiceClient, http_session
from parley_core.process.process_monitor import ProcessMonitor
from parley_testing.peers import service_keys, signed, signing_key
from parley_testing.serving import serving

TOKENS, CALLS, ROUNDS = 2_000, 1_000, 5
ADA = Principal("default", "auth0|5f7c8ec7c33c6c004bbafe82", frozenset({"admin"}))
_SECRET = "s" * 32
_HMAC = jwt.PyJWT({"require": ["aud", "exp", "iat"], "strict_aud": True})


async def run() -> None:
    keys = service_keys()
    key = signing_key("gateway")
    token, hmac_token = signed(ADA, audience="session", key=key), _hmac_token()
    rows = [
        _row(
            "sign a principal token",
            lambda: signed(ADA, audience="session", key=key),
            _hmac_token,
        ),
        _row(
            "verify a principal token",
            lambda: decode_principal_token(token, keys, audience="session"),
            lambda: _HMAC.decode(hmac_token, _SECRET, ["HS256"], audience="session"),
        ),
    ]
    async with _client() as client:
        numbers = count()
        new, reused = [], []
        for _ in range(ROUNDS):
            new.append(await _calls(client, lambda: Principal("default", f"u{next(numbers)}")))
            reused.append(await _calls(client, lambda: ADA))
    baseline, measured = median(reused), median(new)
    rows.append(
        Row(
            "call with a new token; baseline: a reused one",
            _micros(measured),
            _micros(baseline),
            baseline / measured,
        )
    )
    print_table("Internal calls", rows)


def _hmac_token() -> str:
    now = int(datetime.now(UTC).timestamp())
    claims: dict[str, Any] = {
        "iss": "gateway",
        "aud": "session",
        "tenant": ADA.tenant,
        "sub": ADA.user,
        "scopes": sorted(ADA.scopes),
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    return _HMAC.encode(claims, _SECRET, algorithm="HS256")


def _row(label: str, ours: Callable[[], object], baseline: Callable[[], object]) -> Row:
    pairs = [(_seconds(ours), _seconds(baseline)) for _ in range(ROUNDS)]
    measured, hmac = (median(samples) for samples in zip(*pairs, strict=True))
    return Row(label, _micros(measured), _micros(hmac), hmac / measured)


def _seconds(operation: Callable[[], object]) -> float:
    started_at = time.process_time()
    for _ in range(TOKENS):
        operation()
    return (time.process_time() - started_at) / TOKENS


def _micros(seconds: float) -> str:
    return f"{1_000_000 * seconds:.0f} µs"


async def _calls(client: ServiceClient, principal: Callable[[], Principal]) -> float:
    """Seconds of CPU per call, of the caller, the callee and HTTP together."""
    started_at = time.process_time()
    for _ in range(CALLS):
        await client.call("GET", "/limits", principal=principal(), request_id="benchmark")
    return (time.process_time() - started_at) / CALLS


@asynccontextmanager
async def _client() -> AsyncIterator[ServiceClient]:
    async def read(request: Request) -> Response:
        return Response(caller_of(request).principal.user)

    allowed = {"GET /limits": frozenset(("gateway",))}
    authenticator = ServiceAuthenticator(service_keys(), allowed, service="session")
    app = Starlette(routes=authenticator.authenticated([Route("/limits", read)]))
    app.add_middleware(RequestObserver, metrics=ProcessMonitor("benchmark").requests)
    async with serving(app) as served, http_session() as http:
        yield ServiceClient(http, served.url, callee="session", key=signing_key("gateway"))
