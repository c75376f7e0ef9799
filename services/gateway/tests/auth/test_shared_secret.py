"""Tokens verified with a shared secret."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.issuer import JWT_SECRET, claims, rsa_key, token

from parley_core.auth.principal import Principal
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService


def forged(header: Any, payload: Any, signature: Any = b"") -> Any:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()


def now(seconds: int) -> int:
    return int(time.time()) + seconds


async def refused(gateway: Gateway, bearer: Any) -> Any:
    async with gateway.request("GET", "/v1/assistants", bearer=bearer) as answer:
        body = await answer.text()
        assert answer.status == 401, body
        assert answer.headers["www-authenticate"].startswith("Bearer")
        error = json.loads(body)["error"]
        assert error["type"] == "authentication_error"
        return error["code"]


async def reason(gateway: Gateway, bearer: str) -> str:
    async with gateway.request("GET", "/v1/assistants", bearer=bearer) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (401, "invalid_token")
    return str(error["message"])


async def person(gateway: Gateway, session: FakeSessionService, bearer: str) -> Principal:
    session.answers.append(raw(b"{}"))
    async with gateway.request("GET", "/v1/assistants", bearer=bearer) as answer:
        assert answer.status == 200, await answer.text()
    return session.calls[-1].principal


async def test_a_token_resolves_to_its_principal(
    gateway: Gateway, session: FakeSessionService
) -> None:
    assert await person(gateway, session, token()) == Principal("default", "ada")
    full = token(sub="ä 1", tenant="acme", scope=" admin  audit:read ")
    scopes = frozenset(("admin", "audit:read"))
    assert await person(gateway, session, full) == Principal("acme", "ä 1", scopes)


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer ", "Token x"])
async def test_a_call_without_a_token_is_a_401(gateway: Gateway, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/sessions"), ("GET", "/v1/history/x")):
        async with gateway.http.request(method, gateway.url + path, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert (await answer.json())["error"]["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": now(-40)},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [1]},
        {"nbf": now(86_400)},
        {"iat": now(86_400)},
        {"sub": None},
        {"sub": ""},
        {"sub": "a" * 256},
        {"sub": "a\x00"},
        {"sub": "a\nb"},
        {"sub": "\ud800"},
        {"tenant": "parley"},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": "t" * 256},
        {"tenant": "\udfff"},
        {"scope": [["admin"]]},
        {"scope": "s" * 2_049},
        {"scope": "ä"},
    ],
)
async def test_a_token_with_missing_or_invalid_claims_is_a_401(
    gateway: Gateway, changes: Any
) -> None:
    assert await refused(gateway, token(**changes)) == "invalid_token"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_of_a_clock_that_is_ahead_is_not_called_forged(
    gateway: Gateway, claim: str
) -> None:
    ahead: dict[str, Any] = {claim: now(60)}
    assert "not valid yet" in await reason(gateway, token(**ahead))
    # A forged one is not told what else is wrong with it.
    forged_too = token("another secret of thirty-two bytes or more", **ahead)
    assert "signature" in await reason(gateway, forged_too)


@pytest.mark.parametrize(
    "algorithm", ["HS384", "hs256", "HS256 ", " HS256", "Hs256", "HS256\0", "none", "", "RS256"]
)
async def test_an_algorithm_is_the_configured_one_to_the_letter(
    gateway: Gateway, algorithm: Any
) -> None:
    signature = base64.urlsafe_b64decode(token().rpartition(".")[2] + "==")
    bearer = forged({"alg": algorithm}, claims(), signature)
    assert "HS256" in await reason(gateway, bearer)


async def test_two_tokens_are_a_400(
    gateway: Gateway, session: FakeSessionService, history: History
) -> None:
    session.versions[SESSION_ID] = 4
    history.project(SESSION_ID, 4, "Hello")
    path = f"/v1/history/{SESSION_ID}"
    for _ in range(2):
        assert (await gateway.get(path))[0] == 200  # Then the page is cached.
    valid, other = f"Bearer {token()}", f"Bearer {token(sub='eve')}"
    for pair in ((valid, other), (other, valid), (valid, valid), (valid, "")):
        headers = [("authorization", each) for each in pair]
        for url in (path, "/v1/assistants"):
            async with gateway.http.get(gateway.url + url, headers=headers) as answer:
                error = (await answer.json())["error"]
            assert (answer.status, error["param"]) == (400, "Authorization")


async def test_clock_skew_of_half_a_minute_is_tolerated(
    gateway: Gateway, session: FakeSessionService
) -> None:
    assert await person(gateway, session, token(exp=now(-20), nbf=now(20), iat=now(20)))


async def test_a_forged_token_is_a_401(gateway: Gateway) -> None:
    none = forged({"alg": "none"}, claims())
    for bearer in (
        none,
        none.replace("none", "None"),
        token("another secret of thirty-two bytes or more"),
        token()[:-4] + "AAAA",
        jwt.encode(claims(), JWT_SECRET, algorithm="HS384"),
        jwt.encode(claims(), rsa_key("any"), algorithm="RS256"),
        forged({"alg": ["HS256"]}, claims()),
        forged({"alg": {}}, claims()),
        forged({"alg": "HS256", "kid": 7}, claims()),
        forged({"alg": "HS256", "crit": ["x"]}, claims()),
        forged(["HS256"], claims()),
        forged({"alg": "HS256"}, []),
        "a.b.c",
        "...",
        "é",
        "x" * 17_000,
    ):
        assert await refused(gateway, bearer) == "invalid_token"


async def test_rejected_tokens_are_counted_by_their_reason(gateway: Gateway) -> None:
    for bearer in (token(exp=now(-60)), token(exp=now(-90)), token("x" * 32), "pk_1"):
        await refused(gateway, bearer)
    value = gateway.app.monitor.registry.get_sample_value
    counts = {
        each: value("parley_gateway_tokens_rejected_total", {"reason": each})
        for each in ("expired", "malformed", "api_key", "revoked")
    }
    assert counts == {"expired": 2, "malformed": 1, "api_key": 1, "revoked": None}
