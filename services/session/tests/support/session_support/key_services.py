"""Fakes of key services: Vault's transit secrets engine, and AWS KMS.

They answer as the providers' references say; the tests that use them also pass against OpenBao
(PARLEY_TEST_VAULT) and against moto's server (PARLEY_TEST_AWS_KMS).
"""

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley_core.crypto.master_keys import MasterKeys

TOKEN = "hvs.CAESIJ"
ACCESS_KEY, SECRET_KEY = "AKID" + "EXAMPLE", "wJalrXUtnFEMI"
_NONCE_BYTES = 12


class FakeKeyService:
    """`down` answers 503, of Vault, or 500; `calls` are the numbers of keys of the calls."""

    def __init__(self) -> None:
        self.down, self.calls = False, list[int]()
        self._secrets: dict[str, bytes] = {}

    def secret(self, key: str) -> AESGCM:
        return AESGCM(self._secrets.setdefault(key, os.urandom(32)))


class FakeVault(FakeKeyService):
    """https://developer.hashicorp.com/vault/api-docs/secret/transit: encrypt and decrypt data.

    Errors have the status and body of https://developer.hashicorp.com/vault/api-docs#error-response.
    `version` is that of its keys, which all versions open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token, self.version = TOKEN, 1
        routes = [Route("/v1/transit/{action}/{key}", self._answer, methods=["POST"])]
        self.app = Starlette(routes=routes)

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(len(body["batch_input"]))
        if self.down:
            return JSONResponse({"errors": ["Vault is sealed"]}, 503)
        if request.headers["x-vault-token"] != self.token:
            return JSONResponse({"errors": ["permission denied"]}, 403)
        action, secret = request.path_params["action"], self.secret(request.path_params["key"])
        results = [
            _encrypt(secret, item, self.version) if action == "encrypt" else _decrypt(secret, item)
            for item in body["batch_input"]
        ]
        data = {"data": {"batch_results": results}}
        return JSONResponse(data, 400 if any("error" in each for each in results) else 200)


def _encrypt(secret: AESGCM, item: dict[str, str], version: int) -> dict[str, Any]:
    nonce = os.urandom(_NONCE_BYTES)
    sealed = secret.encrypt(nonce, _decoded(item["plaintext"]), _decoded(item["associated_data"]))
    return {"ciphertext": f"vault:v{version}:{_encoded(nonce + sealed)}", "key_version": version}


def _decrypt(secret: AESGCM, item: dict[str, str]) -> dict[str, Any]:
    try:
        sealed = _decoded(item["ciphertext"].rpartition(":")[2])
        bound_to = _decoded(item["associated_data"])
        return {"plaintext": _encoded(_opened(secret, sealed, bound_to))}
    except (InvalidTag, ValueError):
        return {"error": "cipher: message authentication failed", "plaintext": ""}


class FakeAwsKms(FakeKeyService):
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html and API_Decrypt.html.

    Refuses requests that are not signed as
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html says.
    """

    def __init__(self) -> None:
        super().__init__()
        self.throttled = 0
        """The number of the next requests that exceed the account's quota."""
        self.app = Starlette(routes=[Route("/", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        self.calls.append(1)
        raw = await request.body()
        if self.down:
            return _aws_error("KMSInternalException", 500)
        if self.throttled:
            self.throttled -= 1
            return _aws_error("ThrottlingException", 400)
        if not _is_signed(request, raw):
            return _aws_error("InvalidSignatureException", 400)
        body = json.loads(raw)
        context = json.dumps(body["EncryptionContext"], sort_keys=True).encode()
        secret = self.secret(body["KeyId"])
        if request.headers["x-amz-target"] == "TrentService.Encrypt":
            nonce = os.urandom(_NONCE_BYTES)
            blob = nonce + secret.encrypt(nonce, _decoded(body["Plaintext"]), context)
            return _aws_answer({"CiphertextBlob": _encoded(blob), "KeyId": body["KeyId"]})
        try:
            plaintext = _opened(secret, _decoded(body["CiphertextBlob"]), context)
        except (InvalidTag, ValueError):
            return _aws_error("InvalidCiphertextException", 400)
        return _aws_answer({"Plaintext": _encoded(plaintext), "KeyId": body["KeyId"]})


def _aws_answer(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/x-amz-json-1.1")


def _aws_error(name: str, status: int) -> Response:
    return _aws_answer({"__type": name, "message": None}, status)


def _is_signed(request: Request, body: bytes) -> bool:
    scheme, *fields = request.headers.get("authorization", "").replace(",", " ").split()
    given = dict(each.split("=", 1) for each in fields)
    access_key, date, region, service, _ = given["Credential"].split("/")
    names = given["SignedHeaders"].split(";")
    if (scheme, access_key, service) != ("AWS4-HMAC-SHA256", ACCESS_KEY, "kms"):
        return False
    if not {"host", "x-amz-date", "x-amz-target"} <= {*names}:
        return False
    canonical = "\n".join(
        (
            *(request.method, request.url.path, request.url.query),
            *(f"{name}:{request.headers[name]}" for name in names),
            "",
            *(given["SignedHeaders"], hashlib.sha256(body).hexdigest()),
        )
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = "\n".join((scheme, request.headers["x-amz-date"], scope, digest))
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, signed.encode(), "sha256").hex()
    return hmac.compare_digest(expected, given["Signature"])


@dataclass
class KeyService:
    """A kind of master key; `fake` is None for a local one, and for a real service."""

    kind: str
    fields: dict[str, Any]
    fake: FakeVault | FakeAwsKms | None = None

    def entry(self, key_id: str = "m1", *, other: bool = False) -> dict[str, Any]:
        """An entry of the setting; the `other` one is another key of the same service."""
        if self.kind == "local":
            return {"id": key_id, "local": base64.b64encode(bytes([other]) * 32).decode()}
        key = self.fields["other_key"] if other else self.fields["key"]
        rest = {name: value for name, value in self.fields.items() if name != "other_key"}
        return {"id": key_id, self.kind: rest | {"key": key}}

    def master_keys(self, key_id: str = "m1", *, other: bool = False) -> MasterKeys:
        return MasterKeys.parse(json.dumps([self.entry(key_id, other=other)]))


def _opened(secret: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    return secret.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
