"""Which keys of a JSON Web Key Set may verify tokens here: RSA for RS256, P-256 for ES256.

Sources: RFC 7517, RFC 7518.
"""

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SigningKey = jwt.PyJWK
KeyName = tuple[str | None, str]
"""A key's id and the algorithm that it is for: one id may name a key for each."""

ALGORITHMS = {"RS256": {"kty": "RSA"}, "ES256": {"kty": "EC", "crv": "P-256"}}
"""What a key for each algorithm says of itself."""

MOST_KEYS = 100
RSA_BITS = 2048


class InvalidJWKS(Exception):
    """There is no key to be had from it."""


def signing_keys(document: bytes) -> Mapping[KeyName, SigningKey]:
    """The keys of a set that are fit; the others are passed over. Raises InvalidJWKS."""
    try:
        entries = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError):
        raise InvalidJWKS from None
    named = (_named(entry) for entry in entries[:MOST_KEYS])
    keys = dict(one for one in named if one is not None)
    if not keys:
        raise InvalidJWKS
    return keys


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _named(entry: dict[str, Any]) -> tuple[KeyName, SigningKey] | None:
    algorithm, kid = _algorithm(entry), entry.get("kid")
    if algorithm is None or not _verifies(entry, algorithm) or not isinstance(kid, str | None):
        return None
    try:
        key = SigningKey(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS:
        return None
    return (kid, algorithm), key


def _algorithm(entry: dict[str, Any]) -> str | None:
    for algorithm, properties in ALGORITHMS.items():
        if all(entry.get(name) == value for name, value in properties.items()):
            return algorithm
    return None


def _verifies(entry: dict[str, Any], algorithm: str) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and entry.get("alg", algorithm) == algorithm
        # A private key that somebody publishes proves nothing any more.
        and "d" not in entry
    )
