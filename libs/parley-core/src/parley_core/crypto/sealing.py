"""Sealing: what a person typed or a model wrote is encrypted before it leaves the process.

Sealed value: format byte, 12-byte nonce, AES-256-GCM ciphertext with its tag.
Wrapped data key: format byte, length of the master key's id, that id, nonce, ciphertext.
No error raised here, and none that it chains to, carries plaintext or a key.
"""

import base64
import binascii
import hmac
import json
import os
import re
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

_MASTER_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MASTER_KEY_FORM = (
    "PARLEY_MASTER_KEY should look like id:base64 or id:base64,id2:base64, each base64 part the "
    "32 bytes of one key and each id up to 64 letters, digits, '.', '_' or '-'; the first is active"
)


class UnsealError(Exception):
    """The bytes were altered, belong elsewhere, or were sealed with another key."""


class KeyDestroyed(Exception):
    """The session was erased: its data key is gone, and with it what the key sealed."""


class UnknownMasterKey(Exception):
    """A data key was wrapped with a master key that this process does not have."""


class InvalidMasterKey(ValueError):
    """The setting does not hold master keys; the message never repeats it."""


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
        # Its own label: a fingerprint must tell nothing about the key that seals content.
        derivation = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"parley fingerprint v1")
        return derivation.derive(self.secret)


def seal(
    key: DataKey, plaintext: Mapping[str, Any], *, session_id: UUID, event_id: UUID, field: str
) -> bytes:
    """Encrypt a JSON object for one field of one event of one session."""
    return _seal(key, _to_json(plaintext), _place(session_id, event_id, field))


def unseal(
    key: DataKey, sealed: bytes, *, session_id: UUID, event_id: UUID, field: str
) -> dict[str, Any]:
    """Decrypt what `seal` made for the same place; raises UnsealError."""
    opened = _open(key.cipher, sealed, _place(session_id, event_id, field))
    plaintext = None if opened is None else _from_json(opened)
    if plaintext is None:
        raise UnsealError(f"cannot unseal {field} of event {event_id} in session {session_id}")
    return plaintext


def seal_copy(key: DataKey, copy: bytes, *, name: str) -> bytes:
    """Encrypt bytes that are made from what is sealed elsewhere, for the name they are kept by."""
    return _seal(key, copy, _copy_place(name))


def open_copy(key: DataKey, sealed: bytes, *, name: str) -> bytes:
    """Decrypt what `seal_copy` made for the same name; raises UnsealError."""
    opened = _open(key.cipher, sealed, _copy_place(name))
    if opened is None:
        raise UnsealError(f"cannot open the copy {name}")
    return opened


def fingerprint(key: DataKey, body: bytes) -> bytes:
    """HMAC-SHA256 of a request body: tells equal bodies apart from others without keeping text."""
    return hmac.digest(key.fingerprint_key, body, "sha256")


class MasterKeys:
    """The keys that wrap data keys: one active, the others only to unwrap older rows."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        usable = all(
            _MASTER_KEY_ID.fullmatch(key_id) and len(secret) == KEY_BYTES
            for key_id, secret in keys.items()
        )
        if not usable or active not in keys:
            raise InvalidMasterKey("master keys have 32 bytes and a short id, and one is active")
        self._ciphers = {key_id: AESGCM(secret) for key_id, secret in keys.items()}
        self.active = active

    def __repr__(self) -> str:
        return f"MasterKeys(ids={sorted(self._ciphers)}, active={self.active!r})"

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Read `id:base64,id2:base64`, the first active; raises InvalidMasterKey."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(setting.split(","), start=1):
            key_id, _, encoded = entry.strip().partition(":")
            secret = _from_base64(encoded)
            # By number, not by id: where the id was forgotten, the id would be the key.
            if not _MASTER_KEY_ID.fullmatch(key_id) or len(secret) != KEY_BYTES:
                raise InvalidMasterKey(f"{_MASTER_KEY_FORM}. Entry {number} does not.")
            if key_id in keys:
                raise InvalidMasterKey(f"{_MASTER_KEY_FORM}. Entry {number} repeats an id.")
            keys[key_id] = secret
        return cls(keys, active=next(iter(keys)))

    def wrap(self, data_key: DataKey, session_id: UUID) -> bytes:
        """Encrypt a session's data key with the active master key."""
        header = _wrap_header(self.active)
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._ciphers[self.active]
        return header + nonce + cipher.encrypt(nonce, data_key.secret, header + session_id.bytes)

    def unwrap(self, wrapped: bytes | None, session_id: UUID) -> DataKey:
        """Decrypt a data key; None is an erased session's.

        Raises KeyDestroyed, UnknownMasterKey or UnsealError.
        """
        if wrapped is None:
            raise KeyDestroyed(f"the key of session {session_id} was destroyed")
        key_id = wrapped_by(wrapped)
        if key_id not in self._ciphers:
            raise UnknownMasterKey(f"session {session_id} needs master key {key_id!r}")
        header = _wrap_header(key_id)
        sealed = FORMAT + wrapped[len(header) :]
        secret = _open(self._ciphers[key_id], sealed, header + session_id.bytes)
        if secret is None or len(secret) != KEY_BYTES:
            raise UnsealError(f"cannot unwrap the key of session {session_id}")
        return DataKey(secret)


def wrapped_by(wrapped: bytes) -> str:
    """The id of the master key that wrapped a data key, so that rotation finds the older ones."""
    if len(wrapped) >= 2 and wrapped[:1] == FORMAT:
        key_id = wrapped[2 : 2 + wrapped[1]].decode("ascii", errors="replace")
        if len(key_id) == wrapped[1] and _MASTER_KEY_ID.fullmatch(key_id):
            return key_id
    raise UnsealError("these bytes are not a wrapped data key")


def _wrap_header(key_id: str) -> bytes:
    return FORMAT + bytes([len(key_id)]) + key_id.encode("ascii")


def _place(session_id: UUID, event_id: UUID, field: str) -> bytes:
    # Unambiguous without lengths: all but the last part have a fixed width.
    return FORMAT + session_id.bytes + event_id.bytes + field.encode()


def _copy_place(name: str) -> bytes:
    # No event's place begins so: those begin with the format byte.
    return b"copy " + name.encode()


def _seal(key: DataKey, plaintext: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return FORMAT + nonce + key.cipher.encrypt(nonce, plaintext, associated)


def _open(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes | None:
    start = 1 + NONCE_BYTES
    if len(sealed) < start + TAG_BYTES or sealed[:1] != FORMAT:
        return None
    try:
        return cipher.decrypt(sealed[1:start], sealed[start:], associated)
    except InvalidTag:
        return None


def _to_json(plaintext: Mapping[str, Any]) -> bytes:
    text = json.dumps(dict(plaintext), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Through UTF-16 two surrogate halves join again; one that is alone becomes U+FFFD.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _from_json(opened: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(opened)
    except ValueError:  # Not chained: a JSONDecodeError holds the whole plaintext.
        return None
    return value if isinstance(value, dict) else None


def _from_base64(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
