"""Fakes of internal services: serving an application, error responses, principal tokens."""

import hashlib
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parley_core.auth.principal import Principal
from parley_core.auth.principal_token import sign_principal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_core.auth.service_keys import CALLING_SERVICES, ServiceKeys, SigningKey


def signing_key(service: str, number: int = 1) -> SigningKey:
    """The key of that name, the same in every process; only keys with the number 1 are known."""
    key_id = f"{service}-{number}"
    seed = hashlib.sha256(key_id.encode()).digest()
    return SigningKey(key_id, Ed25519PrivateKey.from_private_bytes(seed))


def service_keys() -> ServiceKeys:
    return ServiceKeys.parse(SERVICE_KEYS)


def key_settings(service: str) -> dict[str, Any]:
    """The settings of a calling service that have keys."""
    return {"signing_key": signing_key(service), "service_keys": service_keys()}


def key_variables(service: str) -> dict[str, str]:
    """The same as variables."""
    private = json.dumps(signing_key(service).to_jwk())
    return {"PARLEY_SIGNING_KEY": private, "PARLEY_SERVICE_KEYS": SERVICE_KEYS}


SERVICE_KEYS = json.dumps({"keys": [signing_key(each).public_jwk() for each in CALLING_SERVICES]})


@asynccontextmanager
async def listening(
    app: web.Application, *, shutdown_timeout: float = 0.1, handler_cancellation: bool = False
) -> AsyncIterator[str]:
    """Serve the application on a free port; yields its base URL. Options: aiohttp's AppRunner."""
    runner = web.AppRunner(
        app, shutdown_timeout=shutdown_timeout, handler_cancellation=handler_cancellation
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


def refusal(status: int, code: str, param: str | None = None, **headers: str) -> web.Response:
    """An error response in Parley's error shape; `_` in a header name stands for `-`."""
    error = {"message": "Scripted.", "type": "scripted", "param": param, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": error}, status=status, headers=named)


def caller_of(request: web.Request, *, issuers: Collection[str], audience: str) -> Principal:
    """The verified principal of an internal request by one of the services `issuers`.

    Raises InvalidPrincipal.
    """
    token = request.headers["authorization"].removeprefix("Bearer ")
    verified = PrincipalVerifier(service_keys(), audience=audience).verify(token, datetime.now(UTC))
    assert verified.service in issuers
    return verified.principal


def signed(
    principal: Principal,
    *,
    audience: str,
    issuer: str = "gateway",
    key: SigningKey | None = None,
    now: datetime | None = None,
) -> str:
    """A principal token for one internal call by the service `issuer`, or the one of the key."""
    key = key or signing_key(issuer)
    return sign_principal(principal, key, audience=audience, now=now or datetime.now(UTC))
