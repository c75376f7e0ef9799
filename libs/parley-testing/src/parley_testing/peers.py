"""Fakes of internal services: serving an application, error responses, principal tokens."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from parley_core.auth.principal import InternalSecret, Principal, sign_principal, verify_principal

SECRET = "s" * 32


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
    """The verified principal of an internal request. Raises InvalidPrincipal."""
    return verify_principal(
        request.headers["authorization"].removeprefix("Bearer "),
        InternalSecret.parse(SECRET),
        issuers=issuers,
        audience=audience,
        now=datetime.now(UTC),
    )


def signed(
    principal: Principal,
    *,
    audience: str,
    issuer: str = "gateway",
    secret: str = SECRET,
    now: datetime | None = None,
) -> str:
    """A principal token for one internal call."""
    return sign_principal(
        principal,
        InternalSecret.parse(secret),
        issuer=issuer,
        audience=audience,
        now=now or datetime.now(UTC),
    )
