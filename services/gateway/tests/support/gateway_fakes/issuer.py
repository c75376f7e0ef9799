"""Token issuer: signs with a secret, or with keys that it publishes over HTTP."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from parley_testing.peers import listening

JWT_SECRET = "a development secret that is long enough for HS384"
ISSUER, AUDIENCE = "https://login.example", "parley"


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


def signed(key: Any, kid: str | None, **changes: Any) -> str:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    ours = {"iss": ISSUER, "aud": AUDIENCE}
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(claims(**ours | changes), key, algorithm=algorithm, headers=headers)


def published(key: Any, kid: Any, **properties: Any) -> dict[str, Any]:
    rsa_like = isinstance(key, rsa.RSAPrivateKey)
    algorithm = jwt.algorithms.RSAAlgorithm if rsa_like else jwt.algorithms.ECAlgorithm
    entry = algorithm.to_jwk(key.public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return entry | ({"kid": kid} if kid is not None else {}) | properties


class Issuer:
    def __init__(self) -> None:
        self.url = ""
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.status = 200
        self.fetches = 0

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        issuer = cls()
        app = web.Application()
        app.router.add_get("/keys", issuer._publish)
        async with listening(app, shutdown_timeout=0.01) as url:
            issuer.url = f"{url}/keys"
            yield issuer

    async def _publish(self, _: web.Request) -> web.Response:
        self.fetches += 1
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status)
