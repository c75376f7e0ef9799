"""The entries of docs/sign-in.md, with tokens as Keycloak, Entra, Okta, Auth0 and Google document
them: `documents/` names the references.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import Issuer, published, rsa_key, write_issuers

from parley_core.auth.principal import Principal
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

KEY = rsa_key("provider")
DOCUMENTS = Path(__file__).parent / "documents"
PAGE = Path(__file__).parents[5] / "docs" / "sign-in.md"
ENTRIES = {
    entry["name"]: entry
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for entry in yaml.safe_load(block)["issuers"]
}
ACCESS_TOKENS = ("keycloak", "entra", "okta", "auth0")


def signed(form: dict[str, Any], **changes: Any) -> str:
    now = int(time.time())
    payload = {"iat": now, "nbf": now, "exp": now + 3_600, **form["claims"], **changes}
    header = {"typ": None, **form["header"], "kid": "k"}
    return jwt.encode(payload, KEY, algorithm=header.pop("alg"), headers=header)


@pytest.fixture
def start_for(
    start: Callable[..., Awaitable[Gateway]], issuer: Issuer, tmp_path: Path
) -> Callable[..., Any]:
    async def start_for(name: str) -> tuple[Gateway, dict[str, Any]]:
        document = json.loads((DOCUMENTS / f"{name}.json").read_text())
        issuer.keys = [published(KEY, "k", use="sig")]
        issuer.metadata = document["discovery"] | {"jwks_uri": issuer.url}
        entry = ENTRIES[name] | {"discovery_url": issuer.discovery_url}
        path = write_issuers(tmp_path / "issuers.yaml", entry)
        gateway = await start(
            jwt={"issuers": path},
            constants={"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.001},
        )
        return gateway, document

    return start_for


@pytest.mark.parametrize("name", [*ACCESS_TOKENS, "google"])
async def test_a_documented_token_names_its_person_tenant_and_scopes(
    start_for: Callable[..., Any], session: FakeSessionService, name: str
) -> None:
    gateway, document = await start_for(name)
    session.answers.append(raw(b"{}"))
    form = document["access_token" if name in ACCESS_TOKENS else "id_token"]
    status, body = await gateway.get("/v1/assistants", bearer=signed(form))
    assert status == 200, body
    expected = document["principal"]
    assert session.calls[-1].principal == Principal(
        expected["tenant"], expected["user"], frozenset(expected["scopes"])
    )


@pytest.mark.parametrize("name", ACCESS_TOKENS)
async def test_a_documented_id_token_is_refused_even_with_the_audience_of_the_api(
    start_for: Callable[..., Any], name: str
) -> None:
    gateway, document = await start_for(name)
    form = document["id_token"]
    for bearer in (signed(form), signed(form, aud=ENTRIES[name]["audiences"])):
        refused = await gateway.expect_error("GET", "/v1/assistants", bearer=bearer)
        assert refused == (401, "invalid_token", None)


async def test_an_account_without_a_workspace_is_refused_where_the_tenant_is_its_domain(
    start_for: Callable[..., Any],
) -> None:
    gateway, document = await start_for("google")
    form = document["id_token"]
    del form["claims"]["hd"]
    refused = await gateway.expect_error("GET", "/v1/assistants", bearer=signed(form))
    assert refused == (401, "invalid_token", None)
