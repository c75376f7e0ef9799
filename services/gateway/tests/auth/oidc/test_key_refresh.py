"""Keys that an issuer replaces, withdraws, or does not publish for a while."""

import asyncio
from typing import Any
from uuid import uuid4

from gateway_fakes.issuer import QUICKLY, Issuer, elliptic_key, published, rsa_key, signed

from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

RSA, EC = rsa_key("one"), elliptic_key("one")
REFUSED = (401, "invalid_token")


async def test_keys_are_refreshed_in_the_background(
    start_with: Any, issuer: Issuer, ask: Any
) -> None:
    issuer.keys = [published(RSA, "r")]
    gateway = await start_with({**QUICKLY, "auth.oidc.jwks_client.REFRESH_SECONDS": 0.01})
    assert await ask(gateway, signed(RSA, "r")) == 200
    issuer.keys = [published(EC, "e")]

    async def is_refused() -> bool:
        return bool(await ask(gateway, signed(RSA, "r")) == REFUSED)

    await eventually(is_refused)


async def test_unchanged_keys_leave_verified_tokens_verified(
    start_with: Any, issuer: Issuer, ask: Any
) -> None:
    issuer.keys = [published(RSA, "r")]
    gateway = await start_with({**QUICKLY, "auth.oidc.jwks_client.REFRESH_SECONDS": 0.01})
    bearer = signed(RSA, "r")
    assert await ask(gateway, bearer) == 200
    fetches = issuer.fetches
    await eventually(lambda: issuer.fetches > fetches + 2)
    assert gateway.app.tokens.get(f"Bearer {bearer}".encode()) is not None


async def test_keys_without_a_successful_fetch_expire_and_the_status_names_their_state(
    start_with: Any, issuer: Issuer, ask: Any
) -> None:
    issuer.keys = [published(RSA, "r")]
    constants = {
        **QUICKLY,
        "auth.oidc.jwks_client.REFRESH_SECONDS": 0.01,
        "auth.oidc.issuers_file.MIN_KEY_AGE_SECONDS": 0,
    }
    gateway = await start_with(constants, max_key_age_seconds=0.5)

    def keys() -> Any:
        return gateway.app.monitor.status()["token_issuers"]["staff"]["keys"]

    assert await ask(gateway, signed(RSA, "r")) == 200
    assert keys() == "ok"
    issuer.status = 500
    await eventually(lambda: keys() == "stale")
    assert await ask(gateway, signed(RSA, "r", jti="2")) == 200
    await eventually(lambda: keys() == "expired")
    assert await ask(gateway, signed(RSA, "r", jti="3")) == (503, "keys_unavailable")
    dependency = gateway.app.monitor.status()["dependencies"]["token_issuer"]
    assert dependency["status"] == "unavailable"
    issuer.status = 200
    await eventually(lambda: keys() == "ok")
    assert await ask(gateway, signed(RSA, "r", jti="4")) == 200


async def test_a_key_that_replaces_another_under_load_refuses_no_token(
    start_with: Any, issuer: Issuer, session: FakeSessionService
) -> None:
    issuer.keys = [published(RSA, "old")]
    gateway = await start_with({"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.1})
    statuses: list[int] = []
    current: tuple[Any, str] = (RSA, "old")
    number = 0

    async def keep_asking() -> None:
        nonlocal number
        while len(statuses) < 200:
            number += 1
            # Each has a signature of its own, so that none is found in the cache.
            bearer = signed(*current, jti=str(number))
            async with gateway.request("GET", f"/v1/sessions/{uuid4()}", bearer=bearer) as answer:
                statuses.append(answer.status)

    clients = [asyncio.create_task(keep_asking()) for _ in range(8)]
    await eventually(lambda: len(statuses) >= 60)
    # Published at the moment of its first use; tokens of the old key are still under way.
    issuer.keys = [published(EC, "new"), *issuer.keys]
    current = (EC, "new")
    await asyncio.gather(*clients)
    assert {401, 503}.isdisjoint(statuses)
