"""API keys as bearer tokens: looked up in the session service, cached, and revoked."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from gateway_fakes.gateway import Gateway

from parley_core.auth.principal import Principal
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

ADA = Principal("acme", "staff:ada", frozenset(("admin",)))
REFUSED = (401, "invalid_token", None)


async def principal(gateway: Gateway, session: FakeSessionService, key: str) -> Principal:
    session.answers.append(raw(b"{}"))
    status, body = await gateway.get("/v1/assistants", bearer=key)
    assert status == 200, body
    return session.calls[-1].principal


async def refusal(gateway: Gateway, key: str) -> tuple[int, str, str | None]:
    return await gateway.expect_error("GET", "/v1/assistants", bearer=key)


async def test_an_api_key_acts_for_its_owner_with_its_own_scopes_and_models(
    gateway: Gateway, session: FakeSessionService
) -> None:
    key = session.api_keys.create(ADA, scopes=["assistants:write"], models=["demo"])
    expected = Principal(
        "acme", "staff:ada", frozenset(("assistants:write",)), frozenset(("demo",)), str(key.id)
    )
    for _ in range(3):
        assert await principal(gateway, session, key.key) == expected
    # The result is cached, like that of a token.
    assert session.api_keys.lookups == 1


@pytest.mark.parametrize(
    "key",
    [
        "pk_",
        "pk_x",
        f"pk_{'0' * 32}_{'s' * 42}",
        f"pk_{'0' * 32}_{'s' * 44}",
        f"pk_{'0' * 32}_{'=' * 43}",
        f"pk_{'G' * 32}_{'s' * 43}",
        f"pk_{'A' * 32}_{'s' * 43}",
        f"pk_{'0' * 32}_{'s' * 43}.x",
        f"pk_{'0' * 32}_{'é' * 43}",
        f"pk_{'0' * 32}_{'s' * 43}",
        f"PK_{'0' * 32}_{'s' * 43}",
    ],
)
async def test_a_malformed_or_unknown_key_is_refused(gateway: Gateway, key: str) -> None:
    assert await refusal(gateway, key) == REFUSED


async def test_a_wrong_secret_is_refused_while_the_right_one_is_accepted(
    gateway: Gateway, session: FakeSessionService
) -> None:
    key = session.api_keys.create(ADA).key
    wrong = key[:-2] + ("AA" if key[-2:] != "AA" else "BA")

    async def status(bearer: str) -> int:
        async with gateway.request("GET", f"/v1/sessions/{uuid4()}", bearer=bearer) as answer:
            return answer.status

    # In one batch, whichever comes first.
    for pair in ((key, wrong), (wrong, key)):
        expected = [404 if each == key else 401 for each in pair]
        gateway.app.tokens.clear()
        assert await asyncio.gather(*map(status, pair)) == expected


async def test_a_revoked_key_is_refused_soon(gateway: Gateway, session: FakeSessionService) -> None:
    revoked, other = session.api_keys.create(ADA), session.api_keys.create(ADA)
    for key in (revoked, other):
        await principal(gateway, session, key.key)
    session.api_keys.revoke(revoked.id)
    revoked_at = time.monotonic()

    async def is_refused() -> bool:
        session.answers.clear()
        session.answers.append(raw(b"{}"))
        status, _ = await gateway.get("/v1/assistants", bearer=revoked.key)
        return bool(status == 401)

    await eventually(is_refused, within=5)
    assert time.monotonic() - revoked_at < 2
    assert session.api_keys.lookups == 3
    await principal(gateway, session, other.key)
    assert session.api_keys.lookups == 3


async def test_a_key_expires(gateway: Gateway, session: FakeSessionService) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=5)
    key = session.api_keys.create(ADA, expires_at=expires_at)
    await principal(gateway, session, key.key)
    cached = gateway.app.tokens.get(f"Bearer {key.key}".encode())
    assert cached is not None
    assert cached.valid_until == expires_at.timestamp()


async def test_a_key_is_looked_up_again_after_a_minute_at_most(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    gateway = await start(token_cache={"ttl_seconds": 3_600})
    key = session.api_keys.create(ADA).key
    await principal(gateway, session, key)
    cached = gateway.app.tokens.get(f"Bearer {key}".encode())
    assert cached is not None
    # It bounds how long a revoked key is accepted while the session service is unavailable.
    assert cached.valid_until <= time.time() + 60


async def test_a_bounded_number_of_requests_waits_for_the_session_service(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    gateway = await start({"auth.api_key_verifier.MAX_WAITING_LOOKUPS": 2})
    first, *others = (session.api_keys.create(ADA).key for _ in range(4))
    session.api_keys.before_answer.clear()

    async def status(bearer: str) -> tuple[int, str]:
        path = f"/v1/sessions/{uuid4()}"
        return (await gateway.expect_error("GET", path, bearer=bearer))[:2]

    requests = [asyncio.create_task(status(first))]
    await eventually(lambda: session.api_keys.lookups == 1)
    requests += [asyncio.create_task(status(key)) for key in others]
    refused, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert {task.result() for task in refused} == {(503, "session_unavailable")}
    session.api_keys.before_answer.set()
    statuses = [status for status, _ in await asyncio.gather(*requests)]
    assert sorted(statuses) == [404, 404, 503, 503]


async def test_without_the_session_service_cached_keys_are_accepted_and_others_are_a_503(
    gateway: Gateway, session: FakeSessionService
) -> None:
    cached, other = session.api_keys.create(ADA).key, session.api_keys.create(ADA).key
    await principal(gateway, session, cached)
    session.is_unavailable = True
    assert (await refusal(gateway, cached))[0] == 503
    assert await refusal(gateway, other) == (503, "session_unavailable", None)
    assert gateway.app.tokens.get(f"Bearer {cached}".encode()) is not None
    assert gateway.app.tokens.get(f"Bearer {other}".encode()) is None


async def test_a_key_may_not_manage_keys(gateway: Gateway, session: FakeSessionService) -> None:
    key = session.api_keys.create(ADA)
    for method, path, body in (
        ("POST", "/v1/api-keys", {"name": "another"}),
        ("GET", "/v1/api-keys", None),
        ("DELETE", f"/v1/api-keys/{key.id}", None),
    ):
        refused = await gateway.expect_error(method, path, body=body, bearer=key.key)
        assert refused[:2] == (403, "api_key_not_allowed")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": None}, "name"),
        ({"scopes": ["two words"]}, "scopes.0"),
        ({"scopes": ["s"] * 21}, "scopes"),
        ({"models": []}, "models"),
        ({"models": ["m"] * 21}, "models"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"owner": "eve"}, "owner"),
    ],
)
async def test_a_malformed_request_for_a_key_is_a_400(
    gateway: Gateway, changes: dict[str, Any], param: str
) -> None:
    refused = await gateway.expect_error("POST", "/v1/api-keys", body={"name": "a", **changes})
    assert refused == (400, "invalid_request", param)
