"""Parses a JSON Web Key Set into verification keys.

Sources: RFC 7517, RFC 7518, RFC 8037.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

VerificationKey = jwt.PyJWK
KeyName = tuple[str | None, str]
"""A key id and its algorithm: one id may name a key for each algorithm."""

ALGORITHMS = {
    "RS256": {"kty": "RSA"},
    "PS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ES384": {"kty": "EC", "crv": "P-384"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
"""The properties that a key for each algorithm must have."""

MAX_KEYS = 100
MIN_RSA_BITS = 2048


class InvalidJWKS(Exception):
    """The document is not a JSON Web Key Set, or holds no usable key."""


def parse_jwks(document: bytes, algorithms: Collection[str]) -> Mapping[KeyName, VerificationKey]:
    """The usable keys of a set for these algorithms; others are ignored. Raises InvalidJWKS."""
    try:
        entries = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError):
        raise InvalidJWKS("the key set is malformed") from None
    keys = dict(item for entry in entries[:MAX_KEYS] for item in _parse(entry, algorithms))
    if not keys:
        raise InvalidJWKS("the key set has no usable key")
    return keys


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _parse(
    entry: dict[str, Any], algorithms: Collection[str]
) -> Iterator[tuple[KeyName, VerificationKey]]:
    """One item for each algorithm that the key is for: an RSA key may be for two."""
    kid = entry.get("kid")
    if not isinstance(kid, str | None) or not _is_public_signing_key(entry):
        return
    for algorithm, properties in ALGORITHMS.items():
        if algorithm not in algorithms or entry.get("alg", algorithm) != algorithm:
            continue
        if any(entry.get(name) != value for name, value in properties.items()):
            continue
        try:
            key = VerificationKey(entry, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if not isinstance(key.key, RSAPublicKey) or key.key.key_size >= MIN_RSA_BITS:
            yield (kid, algorithm), key


def _is_public_signing_key(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        # A published private key proves nothing any more.
        and "d" not in entry
    )
