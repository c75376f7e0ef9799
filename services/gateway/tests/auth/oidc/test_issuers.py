"""Several issuers in one file: who is who, which tokens are refused, and changes of the file."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims,
    elliptic_key,
    published,
    rsa_key,
    signed,
    write_issuers,
)

from parley_core.auth.principal import Principal
from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

RSA, EC = rsa_key("one"), elliptic_key("one")
OTHER = "https://other.example"
QUICKLY = {"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.001}
REFUSED = (401, "invalid_token", None)

Start = Callable[..., Awaitable[Gateway]]


async def principal(gateway: Gateway, session: FakeSessionService, bearer: str) -> Principal:
    session.answers.append(raw(b"{}"))
    status, body = await gateway.get("/v1/assistants", bearer=bearer)
    assert status == 200, body
    return session.calls[-1].principal


async def refusal(gateway: Gateway, bearer: str) -> tuple[int, str, str | None]:
    return await gateway.expect_error("GET", "/v1/assistants", bearer=bearer)


@pytest.fixture
async def gateway(start: Start, issuer: Issuer, tmp_path: Path) -> Gateway:
    """Accepts two issuers, which publish the same keys."""
    issuer.keys = [published(RSA, "r"), published(EC, "e")]
    path = write_issuers(
        tmp_path / "issuers.yaml",
        issuer.entry(),
        issuer.entry(
            name="customers",
            issuer=OTHER,
            audiences=["parley", "chat"],
            tenant_claim=["https://example.com/org.name", "id"],
            scopes=[
                {"claim": "scp"},
                {"claim": ["realm", "roles"], "map": {"boss": ["admin", "a:b"], "other": []}},
            ],
        ),
    )
    return await start(jwt={"issuers": path}, constants=QUICKLY)


async def test_the_users_of_two_issuers_are_two_people(
    gateway: Gateway, session: FakeSessionService
) -> None:
    ours = await principal(gateway, session, signed(RSA, "r"))
    org: dict[str, Any] = {"https://example.com/org.name": {"id": "default"}}
    theirs = await principal(gateway, session, signed(RSA, "r", iss=OTHER, **org))
    assert (ours.tenant, ours.user) == ("default", "staff:ada")
    assert (theirs.tenant, theirs.user) == ("default", "customers:ada")


async def test_claim_paths_and_maps_give_tenant_and_scopes(
    gateway: Gateway, session: FakeSessionService
) -> None:
    org = {"https://example.com/org.name": {"id": "acme"}}
    given: dict[str, Any] = {"iss": OTHER, "aud": "chat", **org, "scp": ["chat"]}
    roles: dict[str, Any] = {"realm": {"roles": ["boss", "stranger", "Gäste"]}}
    found = await principal(gateway, session, signed(RSA, "r", **given, **roles))
    assert found == Principal("acme", "customers:ada", frozenset(("chat", "admin", "a:b")))
    found = await principal(gateway, session, signed(RSA, "r", **given, realm=7))
    assert found.scopes == {"chat"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"https://example.com/org.name": "acme"},
        {"https://example.com/org.name": {"id": ""}},
        {"https://example.com/org.name": {"id": ["acme"]}},
        {"https://example.com/org.name": {"id": "acme"}, "scp": 7},
        {"https://example.com/org.name": {"id": "acme"}, "scp": [7]},
        {"https://example.com/org.name": {"id": "acme"}, "scp": ["two words"]},
        {"https://example.com/org.name": {"id": "acme"}, "realm": {"roles": {"boss": True}}},
        {"https://example.com/org.name": {"id": "acme"}, "sub": "a" * 250},
        {"https://example.com/org.name": {"id": "acme"}, "scp": "s" * 2_049},
    ],
)
async def test_a_missing_tenant_or_a_claim_of_another_form_is_refused(
    gateway: Gateway, changes: dict[str, Any]
) -> None:
    assert await refusal(gateway, signed(RSA, "r", iss=OTHER, **changes)) == REFUSED


@pytest.mark.parametrize("iss", ["https://login.example/", "https://LOGIN.example", "", None])
async def test_an_issuer_is_compared_to_the_letter(gateway: Gateway, iss: str | None) -> None:
    assert await refusal(gateway, signed(RSA, "r", iss=iss)) == REFUSED


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        ({"typ": "JWT"}, {"nonce": "n"}),
        ({"typ": "JWT"}, {"at_hash": "h"}),
        ({}, {"c_hash": "h"}),
        ({"typ": "at+jwt"}, {"token_use": "id"}),
        ({"typ": "JWT"}, {"token_use": "refresh"}),
        ({"typ": "JWT"}, {"typ": "ID"}),
        ({"typ": "JWT"}, {"typ": "Refresh"}),
        ({"typ": "JWT"}, {"typ": ["Bearer"]}),
        ({"typ": "logout+jwt"}, {}),
        ({"typ": "secevent+jwt"}, {}),
        ({"typ": "dpop+jwt"}, {}),
        ({"typ": "token-introspection+jwt"}, {}),
    ],
)
async def test_a_token_that_is_no_access_token_is_refused(
    gateway: Gateway, header: dict[str, Any], changes: dict[str, Any]
) -> None:
    payload = claims(iss=ISSUER, aud=AUDIENCE, **changes)
    headers = {"kid": "r", "typ": None, **header}
    bearer = jwt.encode(payload, RSA, algorithm="RS256", headers=headers)
    assert await refusal(gateway, bearer) == REFUSED


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
async def test_a_marked_access_token_may_be_required(
    start: Start, issuer: Issuer, session: FakeSessionService, tmp_path: Path, typ: str
) -> None:
    issuer.keys = [published(RSA, "r")]
    path = issuer.write_file(tmp_path, tokens="at+jwt")
    gateway = await start(jwt={"issuers": path}, constants=QUICKLY)
    payload = claims(iss=ISSUER, aud=AUDIENCE, nonce="n")
    marked = jwt.encode(payload, RSA, algorithm="RS256", headers={"kid": "r", "typ": typ})
    assert await principal(gateway, session, marked)
    assert await refusal(gateway, signed(RSA, "r")) == REFUSED


async def test_one_unavailable_issuer_refuses_no_user_of_another(
    start: Start, issuer: Issuer, session: FakeSessionService, tmp_path: Path
) -> None:
    issuer.keys = [published(RSA, "r")]
    absent = issuer.entry(name="absent", issuer=OTHER, jwks_url="http://127.0.0.1:9/keys")
    path = write_issuers(tmp_path / "issuers.yaml", absent, issuer.entry())
    gateway = await start(jwt={"issuers": path}, constants=QUICKLY)
    await eventually(lambda: gateway.app.monitor.state.ready)
    assert await principal(gateway, session, signed(RSA, "r"))
    unavailable = await refusal(gateway, signed(RSA, "r", iss=OTHER))
    assert unavailable == (503, "keys_unavailable", None)


@pytest.fixture
def reloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Gateway, str], float]:
    """The number of reloads with an outcome; a gateway notices changes of its file at once."""
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    monkeypatch.setenv("PARLEY_OIDC_ISSUERS", str(tmp_path / "issuers.yaml"))
    for name, value in key_variables("gateway").items():
        monkeypatch.setenv(name, value)
    for name in ("SESSION", "INFERENCE", "HISTORY"):
        monkeypatch.setenv(f"PARLEY_{name}_URL", "http://127.0.0.1:9")

    def reloads(gateway: Gateway, outcome: str) -> float:
        labels = {"outcome": outcome}
        registry = gateway.app.monitor.registry
        return registry.get_sample_value("parley_config_reloads_total", labels) or 0

    return reloads


async def test_a_token_of_an_issuer_that_is_removed_while_its_keys_are_fetched_is_refused(
    start: Start, issuer: Issuer, tmp_path: Path, reloads: Callable[[Gateway, str], float]
) -> None:
    issuer.keys = [published(RSA, "old")]
    path = issuer.write_file(tmp_path)
    gateway = await start(jwt={"issuers": path}, constants=QUICKLY)
    await eventually(lambda: gateway.app.monitor.state.ready)
    issuer.keys = [published(EC, "new")]
    issuer.before_answer.clear()
    fetches = issuer.fetches
    request = asyncio.create_task(refusal(gateway, signed(EC, "new")))
    await eventually(lambda: issuer.fetches > fetches)
    write_issuers(path, issuer.entry(name="other", issuer=OTHER))
    await eventually(lambda: reloads(gateway, "ok") == 1)
    issuer.before_answer.set()
    assert await request == REFUSED


async def test_a_changed_file_takes_effect_and_a_wrong_one_does_not(
    start: Start,
    issuer: Issuer,
    session: FakeSessionService,
    tmp_path: Path,
    reloads: Callable[[Gateway, str], float],
) -> None:
    issuer.keys = [published(RSA, "r")]
    path = issuer.write_file(tmp_path)
    gateway = await start(jwt={"issuers": path}, constants=QUICKLY)
    registry = gateway.app.monitor.registry
    bearer, theirs = signed(RSA, "r"), signed(RSA, "r", iss=OTHER)
    assert (await principal(gateway, session, bearer)).tenant == "default"
    assert await refusal(gateway, theirs) == REFUSED

    issuer.status = 500  # The known keys stay.
    write_issuers(
        path, issuer.entry(tenant="acme"), issuer.entry(name="other", issuer=OTHER, jwks_url=OTHER)
    )
    await eventually(lambda: reloads(gateway, "ok") == 1)
    assert (await principal(gateway, session, bearer)).tenant == "acme"

    path.write_text('{"issuers": [{}]}')
    await eventually(lambda: reloads(gateway, "failed") == 1)
    assert registry.get_sample_value("parley_config_reload_failed") == 1
    assert (await principal(gateway, session, bearer)).tenant == "acme"

    write_issuers(path, issuer.entry(issuer=OTHER))
    await eventually(lambda: reloads(gateway, "ok") == 2)
    assert await refusal(gateway, bearer) == REFUSED
    assert [*gateway.app.monitor.status()["token_issuers"]] == ["staff"]


async def test_the_client_config_names_the_issuers_at_which_the_page_may_sign_in(
    start: Start, issuer: Issuer, tmp_path: Path
) -> None:
    page = {"client_id": "page", "scope": "openid chat", "parameters": {"audience": "parley"}}
    path = write_issuers(
        tmp_path / "issuers.yaml",
        issuer.entry(page=page),
        issuer.entry(name="programs", issuer=OTHER),
    )
    gateway = await start(jwt={"issuers": path})
    _, config = await gateway.get("/v1/client-config")
    assert config["issuers"] == [{"name": "staff", "issuer": ISSUER, **page}]


async def test_without_issuers_the_client_config_names_none(start: Start) -> None:
    _, config = await (await start()).get("/v1/client-config")
    assert config["issuers"] == []
