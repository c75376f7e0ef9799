"""Token issuer: signs with a secret, or with keys that it publishes over HTTP.

JSON is YAML, so the files of issuers are written as JSON.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from parley_testing.peers import listening

JWT_SECRET = "a development secret that is long enough for HS384"
ISSUER, AUDIENCE = "https://login.example", "parley"
QUICKLY = {"auth.oidc.jwks_client.MIN_FETCH_INTERVAL_SECONDS": 0.001}
"""Constants of a gateway that fetches keys again at once."""


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a user; None leaves a claim out."""
    given = {"sub": "ada", "exp": int(time.time()) + 300, **changes}
    return {name: value for name, value in given.items() if value is not None}


def token(secret: str = JWT_SECRET, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm="HS256")


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def elliptic_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def signed(key: Any, kid: str | None, *, algorithm: str | None = None, **changes: Any) -> str:
    """A token of ISSUER for AUDIENCE, with changed claims."""
    ours = {"iss": ISSUER, "aud": AUDIENCE}
    headers = {"kid": kid} if kid is not None else {}
    payload = claims(**ours | changes)
    return jwt.encode(payload, key, algorithm=algorithm or _usual_algorithm(key), headers=headers)


def published(key: Any, kid: Any, **properties: Any) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name(_usual_algorithm(key))
    entry: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return entry | ({"kid": kid} if kid is not None else {}) | properties


def _usual_algorithm(key: Any) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    return "ES384" if isinstance(key.curve, ec.SECP384R1) else "ES256"


class Issuer:
    def __init__(self) -> None:
        self.url = self.discovery_url = ""
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.metadata: dict[str, Any] = {}
        self.status = 200
        self.fetches = 0
        self.before_answer = asyncio.Event()
        self.before_answer.set()

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        issuer = cls()
        app = web.Application()
        app.router.add_get("/keys", issuer._publish)
        app.router.add_get("/discovery", issuer._describe)
        async with listening(app, shutdown_timeout=0.01) as url:
            issuer.url, issuer.discovery_url = f"{url}/keys", f"{url}/discovery"
            yield issuer

    def entry(self, **changes: Any) -> dict[str, Any]:
        """Its entry in a file of issuers; None leaves a field out."""
        fields = {"name": "staff", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_url": self.url}
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def write_file(self, folder: Path, **changes: Any) -> Path:
        """A file with this issuer alone."""
        return write_issuers(folder / "issuers.yaml", self.entry(**changes))

    async def _publish(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await self.before_answer.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status)

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": ISSUER, "jwks_uri": self.url} | self.metadata)


def write_issuers(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"issuers": entries}, indent=1))
    return path
