"""The Ed25519 keys of services: the private one of a process, and the public ones of all callers.

Both are JSON Web Keys (RFC 7517, RFC 8037). A key's `kid`, such as `gateway-1`, names the service
that holds its private half.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BeforeValidator, Field

from parley_core.auth.jwt_decoding import decode_jwt, unverified_header
from parley_core.auth.principal import Principal
from parley_core.runtime.settings import Secret, Variable

CALLING_SERVICES = ("gateway", "inference", "history", "cli")
"""The services that call others; the session service calls none."""

_ALGORITHM = "EdDSA"
_KEY_ID = re.compile(rf"({'|'.join(CALLING_SERVICES)})-[1-9][0-9]{{0,8}}")
_KEY_BYTES = re.compile(r"[A-Za-z0-9_-]{43}")
_PSEUDONYM_DIGITS = 12
_PSEUDONYM_PURPOSE = b"pseudonyms of people in logs"
_PRIVATE_FORM = (
    "it should be a private JSON Web Key of the type OKP and the curve Ed25519, with a kid such as "
    "gateway-1 (`parley keys signing` makes it)"
)
_PUBLIC_FORM = (
    "it should be a JSON Web Key Set of public keys of the type OKP and the curve Ed25519, each "
    "with a kid of its own such as gateway-1 (`parley keys signing` makes it)"
)


class UnknownKeyError(jwt.InvalidTokenError):
    """No service has the key that the token names."""


class _Key(msgspec.Struct, omit_defaults=True):
    kid: str
    x: str
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    d: str | None = None


class _KeySet(msgspec.Struct):
    keys: Annotated[list[_Key], msgspec.Meta(min_length=1, max_length=100)]


class SigningKey:
    """The private key of a service, which signs its calls; `replace` takes effect everywhere."""

    def __init__(self, key_id: str, private: Ed25519PrivateKey) -> None:
        self.id, self._private = key_id, private
        self._pseudonym_key = hmac.digest(private.private_bytes_raw(), _PSEUDONYM_PURPOSE, "sha256")

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"

    @property
    def service(self) -> str:
        return _service_of(self.id)

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Parse PARLEY_SIGNING_KEY; raises ValueError that describes the expected form."""
        try:
            key = msgspec.json.decode(setting, type=_Key)
        except ValueError:
            raise ValueError(_PRIVATE_FORM) from None
        if key.d is None or not (
            _KEY_ID.fullmatch(key.kid) and all(map(_KEY_BYTES.fullmatch, (key.d, key.x)))
        ):
            raise ValueError(_PRIVATE_FORM)
        private = Ed25519PrivateKey.from_private_bytes(_decode(key.d))
        if private.public_key().public_bytes_raw() != _decode(key.x):
            raise ValueError("its x is not the public key of its d")
        return cls(key.kid, private)

    def to_jwk(self) -> dict[str, Any]:
        """The key with its private part."""
        return self.public_jwk() | {"d": _encode(self._private.private_bytes_raw())}

    def public_jwk(self) -> dict[str, Any]:
        public = self._private.public_key().public_bytes_raw()
        return {"kid": self.id, "kty": "OKP", "crv": "Ed25519", "x": _encode(public)}

    def sign(self, codec: jwt.PyJWT, claims: dict[str, Any]) -> str:
        return codec.encode(claims, self._private, _ALGORITHM, headers={"kid": self.id})

    def pseudonym_of(self, principal: Principal) -> str:
        """A keyed hash that stands for the person in logs."""
        name = f"{principal.tenant}\0{principal.user}".encode()
        return hmac.digest(self._pseudonym_key, name, "sha256").hex()[:_PSEUDONYM_DIGITS]

    def replace(self, other: "SigningKey") -> None:
        self.id, self._private = other.id, other._private
        self._pseudonym_key = other._pseudonym_key


class ServiceKeys:
    """The public keys of all calling services, by key ID; `replace` takes effect everywhere.

    A service has two while one replaces the other, process by process.
    """

    def __init__(self, by_id: Mapping[str, Ed25519PublicKey]) -> None:
        self.by_id = by_id

    def __repr__(self) -> str:
        return f"ServiceKeys({', '.join(self.by_id)})"

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Parse PARLEY_SERVICE_KEYS; raises ValueError that describes the expected form."""
        try:
            keys = msgspec.json.decode(setting, type=_KeySet).keys
        except ValueError:
            raise ValueError(_PUBLIC_FORM) from None
        by_id = {key.kid: _public_bytes(key) for key in keys}
        if any(key.d is not None for key in keys):
            raise ValueError("it has a private key; replace that key")
        if not all(map(_KEY_ID.fullmatch, by_id)) or len(by_id) < len(keys):
            raise ValueError(_PUBLIC_FORM)
        if len({*by_id.values()}) < len(keys):
            raise ValueError("it has the same key twice")
        return cls({kid: Ed25519PublicKey.from_public_bytes(x) for kid, x in by_id.items()})

    def decode(self, codec: jwt.PyJWT, token: str, audience: str) -> tuple[str, dict[str, Any]]:
        """The service whose key signed the token, and its claims. Raises jwt.PyJWTError."""
        key_id = unverified_header(token).get("kid")
        key = self.by_id.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise UnknownKeyError
        claims = decode_jwt(codec, token, key, algorithms=[_ALGORITHM], audience=audience)
        return _service_of(str(key_id)), claims

    def replace(self, other: "ServiceKeys") -> None:
        self.by_id = other.by_id


def generate_signing_key(service: str, number: int) -> SigningKey:
    return SigningKey(f"{service}-{number}", Ed25519PrivateKey.generate())


def key_of(service: str) -> AfterValidator:
    """Checks that a setting is the signing key of the process's own service."""

    def check(key: SigningKey) -> SigningKey:
        if key.service != service:
            raise ValueError(f"it is a key of {key.service}; it should be one of {service}")
        return key

    return AfterValidator(check)


SigningKeySetting = Annotated[
    SigningKey,
    BeforeValidator(lambda text: text if isinstance(text, SigningKey) else SigningKey.parse(text)),
    Variable("PARLEY_SIGNING_KEY"),
    Secret(),
    Field(description="the private Ed25519 key of this service alone, a JSON Web Key"),
]
"""The key that signs the principal tokens of a service; `key_of` checks whose key it is."""

ServiceKeysSetting = Annotated[
    ServiceKeys,
    BeforeValidator(
        lambda text: text if isinstance(text, ServiceKeys) else ServiceKeys.parse(text)
    ),
    Variable("PARLEY_SERVICE_KEYS"),
    Secret(),
    Field(
        description="the public Ed25519 keys of all calling services, a JSON Web Key Set; the same "
        "for every process"
    ),
]
"""The keys that verify principal tokens."""


def _service_of(key_id: str) -> str:
    return key_id.rpartition("-")[0]


def _public_bytes(key: _Key) -> bytes:
    if not _KEY_BYTES.fullmatch(key.x):
        raise ValueError(_PUBLIC_FORM)
    return _decode(key.x)


def _decode(text: str) -> bytes:
    """43 characters are 32 bytes and 2 bits, which are ignored."""
    return base64.urlsafe_b64decode(text + "=")


def _encode(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()
