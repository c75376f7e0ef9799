"""Authenticated encryption (AES-256-GCM) of user content with the data key of its session.

Sealed value: format byte, 12-byte nonce, ciphertext with its 16-byte tag. No error raised here, and
none that it chains to, carries plaintext or a key.
"""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class UnsealError(Exception):
    """The bytes were altered, moved to another field, or sealed with another key."""


@dataclass(frozen=True)
class DataKey:
    """The 32-byte key of one session."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes")

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(KEY_BYTES))

    @cached_property
    def cipher(self) -> AESGCM:
        return AESGCM(self.secret)

    @cached_property
    def fingerprint_key(self) -> bytes:
        # Derived under a label of its own: a fingerprint must reveal nothing about the sealing key.
        derivation = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"parley fingerprint v1")
        return derivation.derive(self.secret)


def seal(
    key: DataKey, plaintext: Mapping[str, Any], *, session_id: UUID, event_id: UUID, field: str
) -> bytes:
    """Encrypt a JSON object, bound to one field of one event of one session."""
    return encrypt(key.cipher, _to_json(plaintext), _event_field(session_id, event_id, field))


def unseal(
    key: DataKey, sealed: bytes, *, session_id: UUID, event_id: UUID, field: str
) -> dict[str, Any]:
    """Decrypt the result of `seal` for the same field; raises UnsealError."""
    decrypted = decrypt(key.cipher, sealed, _event_field(session_id, event_id, field))
    plaintext = None if decrypted is None else _from_json(decrypted)
    if plaintext is None:
        raise UnsealError(f"cannot unseal {field} of event {event_id} in session {session_id}")
    return plaintext


def seal_copy(key: DataKey, copy: bytes, *, name: str) -> bytes:
    """Encrypt bytes derived from sealed content, such as a cached page, bound to a name."""
    return encrypt(key.cipher, copy, _copy_name(name))


def open_copy(key: DataKey, sealed: bytes, *, name: str) -> bytes:
    """Decrypt the result of `seal_copy` for the same name; raises UnsealError."""
    decrypted = decrypt(key.cipher, sealed, _copy_name(name))
    if decrypted is None:
        raise UnsealError(f"cannot open the copy {name}")
    return decrypted


def fingerprint(key: DataKey, body: bytes) -> bytes:
    """HMAC-SHA256 of a request body: recognises an equal body later without storing its text."""
    return hmac.digest(key.fingerprint_key, body, "sha256")


def encrypt(cipher: AESGCM, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return format byte, random nonce, ciphertext and tag."""
    nonce = os.urandom(NONCE_BYTES)
    return FORMAT + nonce + cipher.encrypt(nonce, plaintext, associated_data)


def decrypt(cipher: AESGCM, sealed: bytes, associated_data: bytes) -> bytes | None:
    """Reverse `encrypt`; None when the bytes do not authenticate."""
    start = 1 + NONCE_BYTES
    if len(sealed) < start + TAG_BYTES or sealed[:1] != FORMAT:
        return None
    try:
        return cipher.decrypt(sealed[1:start], sealed[start:], associated_data)
    except InvalidTag:
        return None


def _event_field(session_id: UUID, event_id: UUID, field: str) -> bytes:
    # Unambiguous without lengths: all parts but the last have a fixed width.
    return FORMAT + session_id.bytes + event_id.bytes + field.encode()


def _copy_name(name: str) -> bytes:
    # Never equal to the associated data of an event field, which begins with the format byte.
    return b"copy " + name.encode()


def _to_json(plaintext: Mapping[str, Any]) -> bytes:
    text = json.dumps(dict(plaintext), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # UTF-16 joins two surrogate halves again; an unpaired one becomes U+FFFD.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _from_json(decrypted: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(decrypted)
    except ValueError:  # Not chained: a JSONDecodeError carries the whole plaintext.
        return None
    return value if isinstance(value, dict) else None
