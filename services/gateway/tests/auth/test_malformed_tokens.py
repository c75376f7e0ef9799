"""Tokens with a header field or a claim of the wrong JSON type, correctly signed."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import (
    AUDIENCE,
    ISSUER,
    JWT_SECRET,
    Issuer,
    claims,
    elliptic_key,
    published,
    rsa_key,
)

from parley_core.auth.principal_token import InvalidPrincipal
from parley_core.auth.principal_token_cache import PrincipalVerifier
from parley_testing.fake_service import raw
from parley_testing.peers import service_keys, signing_key
from parley_testing.session_service import FakeSessionService

HUGE, NAN, INFINITE = 10**400, float("nan"), float("inf")
WRONG: tuple[Any, ...] = (
    *([], ["x", 1], {}, {"a": 1}),
    *(7, 1.5, HUGE, NAN, INFINITE, -INFINITE, True, False, None),
)
NOT_STRINGS = [json.dumps(value) for value in WRONG]
WRONG_TIMES: tuple[Any, ...] = ([], [1], {}, "1", "x", HUGE, 1e300, NAN, INFINITE, True, None)
NOT_TIMES = [json.dumps(value) for value in WRONG_TIMES]
DEEP = "[" * 3_000 + "]" * 3_000

HEADERS = [(name, v) for name in ("alg", "kid", "typ", "crit") for v in (*NOT_STRINGS, DEEP)]
CLAIMS = [
    *((name, value) for name in ("sub", "tenant", "scope") for value in (*NOT_STRINGS, DEEP)),
    *((name, value) for name in ("iss", "aud") for value in NOT_STRINGS),
    *((name, value) for name in ("exp", "iat", "nbf") for value in NOT_TIMES),
]
# An empty list of audiences is well-formed, and is accepted where no audience is configured; so is
# an empty list of scopes.
CLAIMS.remove(("aud", "[]"))
CLAIMS.remove(("scope", "[]"))


def sign(
    key: Any,
    algorithm: Any,
    payload: Any,
    header_json: Any = ("alg", None),
    claim_json: Any = ("sub", None),
    **header: str,
) -> Any:
    """Signs JSON that PyJWT refuses to encode."""
    head = _with({"alg": algorithm, "typ": "JWT"} | header, *header_json)
    body = _with(payload, *claim_json)
    signed = b".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=") for p in (head, body))
    made_by = jwt.get_algorithm_by_name(algorithm)
    signature = made_by.sign(signed, made_by.prepare_key(key))
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def sign_as_gateway(payload: Any, **change: Any) -> Any:
    key = signing_key("gateway")
    return sign(jwt.PyJWK(key.to_jwk()).key, "EdDSA", payload, **change, kid=key.id)


def _with(values: Any, name: Any, text: Any) -> Any:
    fields = {key: json.dumps(value) for key, value in values.items()}
    if text is not None:
        fields[name] = text
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in fields.items()) + "}"


@pytest.fixture(params=["HS256", "RS256", "ES256"])
async def mode(
    request: Any,
    start: Callable[..., Awaitable[Gateway]],
    session: FakeSessionService,
    issuer: Issuer,
    tmp_path: Path,
) -> Any:
    """A gateway, and a function that signs tokens for it."""
    payload, algorithm = claims(iss=ISSUER, aud=AUDIENCE), request.param
    key: Any
    settings: dict[str, Any]
    if algorithm == "HS256":
        key, settings = JWT_SECRET, {"secret": JWT_SECRET}
    else:
        key = rsa_key("one") if algorithm == "RS256" else elliptic_key("one")
        issuer.keys = [published(key, None)]
        settings = {"issuers": issuer.write_file(tmp_path, tenant="t", tenant_claim="tenant")}
    gateway = await start(jwt=settings)
    session.answers.append(raw(b"{}"))
    assert (await gateway.get("/v1/assistants", bearer=sign(key, algorithm, payload)))[0] == 200
    return gateway, lambda **changes: sign(key, algorithm, payload, **changes)


async def test_a_header_field_of_the_wrong_type_is_a_401(mode: Any) -> None:
    gateway, signed = mode
    for change in HEADERS:
        bearer = signed(header_json=change)
        refused = await gateway.expect_error("GET", "/v1/models", bearer=bearer)
        assert refused == (401, "invalid_token", None), change


async def test_a_claim_of_the_wrong_type_is_a_401(mode: Any) -> None:
    gateway, signed = mode
    for change in CLAIMS:
        bearer = signed(claim_json=change)
        refused = await gateway.expect_error("GET", "/v1/models", bearer=bearer)
        assert refused == (401, "invalid_token", None), change


@pytest.mark.parametrize("name", ["header_json", "claim_json"])
async def test_a_ticket_with_a_value_of_the_wrong_type_is_a_401(
    gateway: Gateway, session: FakeSessionService, name: Any
) -> None:
    turn_id = "0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e"
    payload = {"aud": "stream-ticket", "turn": turn_id, "tenant": "acme", "user": "ada"}
    payload["exp"] = claims()["exp"]
    named = [*((n, v) for n in ("turn", "tenant", "user", "aud") for v in NOT_STRINGS)]
    claimed = [*named, *(("exp", value) for value in NOT_TIMES)]
    for change in HEADERS if name == "header_json" else claimed:
        ticket = sign_as_gateway(payload, **{name: change})
        refused = await gateway.expect_error("GET", f"/v1/turns/{turn_id}/stream?ticket={ticket}")
        assert refused == (401, "invalid_ticket", None), change


@pytest.mark.parametrize("name", ["header_json", "claim_json"])
def test_a_principal_token_with_a_value_of_the_wrong_type_is_invalid(name: Any) -> None:
    now = datetime.now(UTC)
    payload: dict[str, Any] = {
        "aud": "session",
        "tenant": "acme",
        "sub": "ada",
        "scopes": [],
    }
    payload |= {"iat": int(now.timestamp()), "exp": int(now.timestamp()) + 60}
    verifier = PrincipalVerifier(service_keys(), audience="session")
    verifier.verify(sign_as_gateway(payload), now)
    named = [(n, v) for n in ("aud", "tenant", "sub") for v in NOT_STRINGS]
    scoped = [("scopes", value) for value in (*NOT_STRINGS, '"x"') if value != "[]"]
    timed = [(n, v) for n in ("exp", "iat") for v in (*NOT_TIMES, "1.5")]
    for change in HEADERS if name == "header_json" else [*named, *scoped, *timed]:
        token = sign_as_gateway(payload, **{name: change})
        with pytest.raises(InvalidPrincipal):
            verifier.verify(token, now)
