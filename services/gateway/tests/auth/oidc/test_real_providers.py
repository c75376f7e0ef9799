"""Sign-in at two real OpenID Connect providers, which run as processes of their own.

The packages are installed at the first run: https://github.com/panva/node-oidc-provider, which is
certified by the OpenID Foundation, and https://github.com/geigerzaehler/oidc-provider-mock.
"""

import asyncio
import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import write_issuers
from yarl import URL

from parley_cli.engines import free_port
from parley_cli.stack.chat_page import ROOT, install_packages, node_environment, node_home
from parley_core.auth.principal import Principal
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

PROVIDERS = Path(__file__).parents[2] / "support" / "providers"
START_SECONDS = 60
CALLBACK = "http://127.0.0.1/callback"
VERIFIER = "a-code-verifier-of-more-than-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
REFUSED = (401, "invalid_token", None)

Start = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def running(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=PROVIDERS,
        env=node_environment() | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def certified_provider() -> AsyncIterator[str]:
    """The issuer."""
    await install_packages(PROVIDERS)
    node = str(node_home() / "bin" / "node")
    async with running(node, "provider.mjs") as process:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while not (line := await process.stdout.readline()).startswith(b"issuer "):
                assert line, "the provider ended"
        yield line.decode().split()[1]


def mock_provider_packages() -> Path:
    """The folder of the pinned packages, which are not those of the tests."""
    requirements = PROVIDERS / "requirements.txt"
    # Some of them are compiled for one version of Python.
    digest = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".parley" / "cache" / f"oidc-provider-mock-{digest}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        subprocess.run([*pip, "--target", str(unfinished), "-r", str(requirements)], check=True)
        unfinished.rename(folder)
    return folder


@asynccontextmanager
async def mock_provider() -> AsyncIterator[str]:
    packages = await asyncio.to_thread(mock_provider_packages)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "oidc_provider_mock", "--port", str(port))
    async with running(*command, PYTHONPATH=str(packages)), aiohttp.ClientSession() as http:

        async def answers() -> bool:
            try:
                async with http.get(f"{issuer}/jwks") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, within=START_SECONDS)
        yield issuer


async def token_of_program(http: aiohttp.ClientSession, issuer: str, algorithm: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": "program",
        "client_secret": "a secret of a program",
        "scope": "chat",
        "resource": f"https://parley.example/{algorithm}",
    }
    async with http.post(f"{issuer}/token", data=form) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return str(answer["access_token"])


async def signed_in(
    http: aiohttp.ClientSession, authorize: str, token: str, secret: str = "", **more: str
) -> Any:
    """The tokens of ada, by the code flow with PKCE (RFC 7636) at the forms of the provider."""
    request = {
        "client_id": "page",
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE.decode(),
        "code_challenge_method": "S256",
        "nonce": "n",
        "state": "s",
        **more,
    }
    forms = [
        {"prompt": "login", "login": "ada", "password": "x", "sub": "ada"},
        {"prompt": "consent"},
    ]
    url = authorize + "?" + "&".join(f"{name}={value}" for name, value in request.items())
    form: dict[str, str] | None = None
    while not url.startswith(CALLBACK):
        method = "GET" if form is None else "POST"
        async with http.request(method, url, data=form, allow_redirects=False) as response:
            form = None
            if response.status == 200:
                form = forms.pop(0)
            else:
                assert response.status in (302, 303), await response.text()
                url = str(response.url.join(URL(response.headers["location"])))
    code = parse_qs(urlsplit(url).query)["code"][0]
    redeemed = {
        "grant_type": "authorization_code",
        "client_id": "page",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **({"client_secret": secret} if secret else {}),
    }
    async with http.post(token, data=redeemed) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return answer


async def person(gateway: Gateway, session: FakeSessionService, bearer: str) -> Principal:
    session.answers.append(raw(b"{}"))
    status, body = await gateway.get("/v1/assistants", bearer=bearer)
    assert status == 200, body
    return session.calls[-1].principal


async def test_a_person_and_a_program_sign_in_at_a_certified_provider(
    start: Start, session: FakeSessionService, tmp_path: Path
) -> None:
    async with (
        certified_provider() as issuer,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        entry = {
            "name": "staff",
            "issuer": issuer,
            "audiences": ["parley"],
            "algorithms": ALGORITHMS,
            "tokens": "at+jwt",
            "tenant_claim": ["org", "id"],
            "scopes": [{"claim": "scope"}, {"claim": "roles", "map": {"parley-admins": ["admin"]}}],
        }
        gateway = await start(jwt={"issuers": write_issuers(tmp_path / "i.yaml", entry)})
        for algorithm in ALGORITHMS:
            bearer = await token_of_program(http, issuer, algorithm)
            expected = Principal("acme", "staff:program", frozenset(("chat", "admin")))
            assert await person(gateway, session, bearer) == expected

        tokens = await signed_in(
            http,
            f"{issuer}/auth",
            f"{issuer}/token",
            scope="openid chat",
            resource="https://parley.example/ES256",
        )
        ada = await person(gateway, session, tokens["access_token"])
        assert (ada.tenant, ada.user) == ("acme", "staff:ada")
        refused = await gateway.expect_error("GET", "/v1/models", bearer=tokens["id_token"])
        assert refused == REFUSED


async def test_opaque_access_tokens_are_refused_and_id_tokens_accepted_only_where_the_file_says_so(
    start: Start, session: FakeSessionService, tmp_path: Path
) -> None:
    async with (
        mock_provider() as issuer,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        tokens = await signed_in(
            http,
            f"{issuer}/oauth2/authorize",
            f"{issuer}/oauth2/token",
            secret="any",
            scope="openid",
        )
        entry = {"name": "mock", "issuer": issuer, "audiences": ["page"]}
        path = write_issuers(tmp_path / "access.yaml", entry)
        gateway = await start(jwt={"issuers": path})
        for bearer in (tokens["access_token"], tokens["id_token"]):
            refused = await gateway.expect_error("GET", "/v1/models", bearer=bearer)
            assert refused == REFUSED
        path = write_issuers(tmp_path / "id.yaml", entry | {"tokens": "id"})
        gateway = await start(jwt={"issuers": path})
        ada = await person(gateway, session, tokens["id_token"])
        assert (ada.tenant, ada.user) == ("default", "mock:ada")
