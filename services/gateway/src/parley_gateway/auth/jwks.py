"""Parses a JSON Web Key Set into verification keys: RSA for RS256, P-256 for ES256.

Sources: RFC 7517, RFC 7518.
"""

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

VerificationKey = jwt.PyJWK
KeyName = tuple[str | None, str]
"""A key id and its algorithm: one id may name a key for each algorithm."""

ALGORITHMS = {"RS256": {"kty": "RSA"}, "ES256": {"kty": "EC", "crv": "P-256"}}
"""The properties that a key for each algorithm must have."""

MAX_KEYS = 100
MIN_RSA_BITS = 2048


class InvalidJWKS(Exception):
    """The document is not a JSON Web Key Set, or holds no usable key."""


def parse_jwks(document: bytes) -> Mapping[KeyName, VerificationKey]:
    """The usable keys of a set; others are ignored. Raises InvalidJWKS."""
    try:
        entries = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError):
        raise InvalidJWKS from None
    parsed = (_parse(entry) for entry in entries[:MAX_KEYS])
    keys = dict(item for item in parsed if item is not None)
    if not keys:
        raise InvalidJWKS
    return keys


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _parse(entry: dict[str, Any]) -> tuple[KeyName, VerificationKey] | None:
    algorithm, kid = _algorithm_of(entry), entry.get("kid")
    if algorithm is None or not _can_verify(entry, algorithm) or not isinstance(kid, str | None):
        return None
    try:
        key = VerificationKey(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        return None
    return (kid, algorithm), key


def _algorithm_of(entry: dict[str, Any]) -> str | None:
    for algorithm, properties in ALGORITHMS.items():
        if all(entry.get(name) == value for name, value in properties.items()):
            return algorithm
    return None


def _can_verify(entry: dict[str, Any], algorithm: str) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and entry.get("alg", algorithm) == algorithm
        # A published private key proves nothing any more.
        and "d" not in entry
    )
