"""Revoked tokens, tickets and API keys: refused soon, and their streams end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_contracts.session_api.limits import MAX_TOKEN_LIFETIME_SECONDS
from parley_contracts.session_api.revocation_bodies import RevokedTokens
from parley_core.auth.principal import Credential, Principal
from parley_gateway.auth.revocation_list import RevocationList
from parley_gateway.schemas.responses import NotReady
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

NOON = datetime(2026, 11, 29, 12, 0, 0, 500_000, UTC)
BEFORE, SAME_SECOND, AFTER = (NOON.timestamp() + seconds for seconds in (-60, -0.5, 0.5))
QUICK_POLL = {
    "auth.revocation_poll.POLL_SECONDS": 0.02,
    "http.stream_limiter._REVOKED_SECONDS": 0.01,
}


@pytest.fixture
async def quick(start: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await start(QUICK_POLL)


def issued(seconds_ago: float = 60, **claims: Any) -> str:
    return token(iat=int(time.time() - seconds_ago), **claims)


async def status(gateway: Gateway, session: FakeSessionService, bearer: str) -> int:
    session.answers.append(raw(b"{}"))
    found, body = await gateway.get("/v1/assistants", bearer=bearer)
    session.answers.clear()
    if found == 401:
        assert body["error"]["code"] == "invalid_token"
    return found


async def is_refused_soon(gateway: Gateway, session: FakeSessionService, bearer: str) -> None:
    async def is_refused() -> bool:
        return await status(gateway, session, bearer) == 401

    await eventually(is_refused, within=5)


@pytest.mark.parametrize(
    ("kind", "target", "refused"),
    [
        ("token", "t1", {"t1 before", "t1 after"}),
        ("user", "ada", {"t1 before", "t2 same second", "none"}),
        ("tenant", "acme", {"t1 before", "t2 same second", "none", "eve", "key before"}),
        ("user", "acme", set()),
        ("tenant", "ada", set()),
        ("token", "ada", set()),
    ],
)
def test_a_revocation_refuses_a_token_or_those_issued_before_it(
    kind: Any, target: str, refused: set[str]
) -> None:
    def ada(token_id: str | None, at: float | None, **more: Any) -> Principal:
        person = {"tenant": "acme", "user": "ada", **more}
        return Principal(credential=Credential(token_id, at), **person)

    people = {
        "t1 before": ada("t1", BEFORE),
        "t1 after": ada("t1", AFTER),
        "t2 same second": ada("t2", SAME_SECOND),
        "t2 after": ada("t2", AFTER),
        "none": ada(None, None),
        "eve": ada("t2", BEFORE, user="eve"),
        "elsewhere": ada("t1", BEFORE, tenant="elsewhere"),
        "key before": ada(None, BEFORE, api_key="k"),
        "key after": ada(None, AFTER, api_key="k"),
    }
    revocations = RevocationList()
    assert revocations.replace([RevokedTokens("acme", kind, target, NOON)])
    assert {name for name, person in people.items() if revocations.refuses(person)} == refused


def test_a_later_revocation_counts_and_known_ones_are_nothing_new() -> None:
    noon, later = (
        RevokedTokens("acme", "user", "ada", NOON.replace(minute=minute)) for minute in (0, 1)
    )
    ada = Principal("acme", "ada", credential=Credential(issued_at=NOON.timestamp() + 10))
    revocations = RevocationList()
    assert [revocations.add([each]) for each in (noon, noon, later, noon)] == [True, False] * 2
    assert revocations.refuses(ada)
    assert not revocations.replace([noon, later])
    assert revocations.refuses(ada)
    revocations.replace([])
    assert not revocations.refuses(ada)


async def test_a_verified_token_is_refused_once_its_user_is_signed_out(
    quick: Gateway, session: FakeSessionService
) -> None:
    ada, eve, again = issued(), issued(sub="eve"), issued(seconds_ago=-10)
    for bearer in (ada, eve):
        assert await status(quick, session, bearer) == 200
    session.revoke("user", "ada")
    await is_refused_soon(quick, session, ada)
    # One that was never seen, and one without a time.
    assert await status(quick, session, issued(jti="other")) == 401
    assert await status(quick, session, token(jti="timeless")) == 401
    assert await status(quick, session, eve) == 200
    assert await status(quick, session, again) == 200


async def test_a_single_token_and_all_of_a_tenant_are_revoked(
    quick: Gateway, session: FakeSessionService
) -> None:
    session.revoke("token", "t1")
    await is_refused_soon(quick, session, issued(jti="t1"))
    assert await status(quick, session, issued(jti="t2")) == 200
    assert await status(quick, session, issued(jti="t1", tenant="acme")) == 200
    key = session.api_keys.create(Principal("acme", "ada"))
    assert await status(quick, session, key.key) == 200
    session.revoke("tenant", "acme", "acme")
    await is_refused_soon(quick, session, issued(jti="t1", tenant="acme"))
    await is_refused_soon(quick, session, key.key)
    assert await status(quick, session, issued(jti="t2")) == 200


async def test_the_streams_of_a_revoked_user_end(
    quick: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    for _ in range(3):
        inference.script(deltas("Hel"), Stalls())
    ada, model = issued(), "parley-demo"
    messages = [{"role": "user", "content": "Hello?"}]
    completion = {"model": model, "messages": messages, "stream": True}
    metadata = {"session_id": str(SESSION_ID)}
    async with quick.stream(bearer=ada) as native:
        await native.until_text(3)
        started = native.raw
        waiting = asyncio.create_task(quick.submit(bearer=ada))
        await eventually(lambda: inference.open == 2)
        body = completion | {"metadata": metadata}
        async with quick.request(
            "POST", "/v1/chat/completions", body=body, bearer=ada
        ) as compatible:
            await compatible.content.readuntil(b"Hel")
            session.revoke("user", "ada")
            async with asyncio.timeout(10):
                last = await compatible.content.read()
                assert await native.events() == []
                whole, error = await waiting
        assert b'"code":"invalid_token"' in last.rpartition(b"data: ")[2].replace(b'": ', b'":')
        assert (whole, error["error"]["code"]) == (401, "invalid_token")
    await eventually(lambda: inference.open == 0)
    # The ticket that the stream began with opens it no more.
    url = started.partition(b'"stream_url":"')[2].partition(b'"')[0].decode()
    async with quick.http.get(quick.url + url) as resumed:
        assert resumed.status == 401
        assert (await resumed.json())["error"]["code"] == "invalid_ticket"


async def test_a_stateless_completion_of_a_revoked_api_key_ends(
    quick: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    key = session.api_keys.create(Principal("default", "ada"))
    inference.script(b'data: {"a":1}\n\n', Stalls())
    messages = [{"role": "user", "content": "Hello?"}]
    body = {"model": "parley-demo", "messages": messages, "stream": True}
    async with quick.request("POST", "/v1/chat/completions", body=body, bearer=key.key) as answer:
        await answer.content.readuntil(b"\n\n")
        session.api_keys.revoke(key.id)
        async with asyncio.timeout(10):
            last = await answer.content.read()
    assert b"invalid_token" in last


async def test_a_gateway_is_not_ready_and_accepts_nobody_before_it_knows_the_revocations(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService
) -> None:
    session.revoke("user", "ada")
    session.is_unavailable = True
    gateway = await start(QUICK_POLL)
    ready, body = await gateway.get("/readyz")
    assert (ready, body["missing"]) == (503, ["session"])
    assert NotReady.model_validate(body).status == "starting"
    refused = await gateway.expect_error("GET", "/v1/assistants", bearer=issued())
    assert refused[:2] == (503, "session_unavailable")
    session.is_unavailable = False

    async def is_ready() -> bool:
        return (await gateway.get("/readyz"))[0] == 200

    await eventually(is_ready, within=5)
    assert await status(gateway, session, issued()) == 401


async def test_without_the_session_service_the_known_revocations_stay(
    quick: Gateway, session: FakeSessionService
) -> None:
    session.revoke("user", "ada")
    await is_refused_soon(quick, session, issued())
    session.is_unavailable = True
    refused = await quick.expect_error("GET", "/v1/assistants", bearer=issued())
    assert refused[:2] == (401, "invalid_token")
    assert (await quick.get("/readyz"))[0] == 200


async def test_a_token_that_lives_longer_than_revocations_are_kept_is_refused(
    gateway: Gateway, session: FakeSessionService
) -> None:
    now = int(time.time())
    for issued_at, accepted in ((now - 10, True), (now - 12, False), (None, False)):
        bearer = token(iat=issued_at, exp=now - 10 + MAX_TOKEN_LIFETIME_SECONDS + 100)
        if accepted:
            bearer = token(iat=issued_at, exp=now - 10 + MAX_TOKEN_LIFETIME_SECONDS)
        assert await status(gateway, session, bearer) == (200 if accepted else 401)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "kind"),
        ({"kind": "user"}, "target"),
        ({"kind": "person", "target": "ada"}, "kind"),
        ({"kind": "user", "target": ""}, "target"),
        ({"kind": "user", "target": "a\nb"}, "target"),
        ({"kind": "user", "target": "a" * 256}, "target"),
        ({"kind": "token", "target": "t", "expires_at": "tomorrow"}, "expires_at"),
        ({"kind": "user", "target": "ada", "before": 1}, "before"),
    ],
)
async def test_a_malformed_revocation_is_a_400(
    gateway: Gateway, body: dict[str, Any], param: str
) -> None:
    refused = await gateway.expect_error("POST", "/v1/admin/revocations", body=body)
    assert refused == (400, "invalid_request", param)


async def test_revocations_are_forwarded_to_the_session_service(
    gateway: Gateway, session: FakeSessionService
) -> None:
    boss = token(sub="boss", scope="admin")
    body = {"kind": "user", "target": "ada"}
    session.answers.append(raw(b"{}", 201))
    assert (await gateway.post("/v1/admin/revocations", body, bearer=boss))[0] == 201
    session.answers.append(raw(b"{}"))
    assert (await gateway.get("/v1/admin/revocations?limit=5", bearer=boss))[0] == 200
    made, listed = session.calls
    assert (made.method, made.path, made.body) == ("POST", "/token-revocations", body)
    assert (listed.path, listed.query) == ("/token-revocations", {"limit": "5"})
    assert made.principal.scopes == {"admin"}
