"""Master keys: key encryption keys that wrap the data key of each session (envelope encryption).

Wrapped data key: format byte, length of the master key's ID, that ID, 12-byte nonce, ciphertext
with its 16-byte tag. No error raised here carries a key.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_core.crypto.sealing import FORMAT, KEY_BYTES, DataKey, UnsealError, decrypt, encrypt

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXPECTED_FORM = (
    "PARLEY_MASTER_KEY should look like id:base64 or id:base64,id2:base64, each base64 part the "
    "32 bytes of one key and each id up to 64 letters, digits, '.', '_' or '-'; the first is active"
)


class KeyDestroyed(Exception):
    """The session was erased: its data key, and all content sealed with it, are unrecoverable."""


class UnknownMasterKey(Exception):
    """The data key is wrapped with a master key that this process does not have."""

    def __init__(self, key_id: str, session_id: UUID) -> None:
        super().__init__(f"session {session_id} needs master key {key_id!r}")
        self.key_id = key_id


class WrongMasterKey(UnsealError):
    """The data key is damaged, or wrapped with another master key of the same id."""

    def __init__(self, key_id: str, session_id: UUID) -> None:
        super().__init__(f"master key {key_id!r} does not unwrap the key of session {session_id}")
        self.key_id = key_id


class InvalidMasterKey(ValueError):
    """The setting does not contain valid master keys; the message never repeats it."""


class MasterKeys:
    """One active key that wraps data keys, and older keys that only unwrap them."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        valid = all(
            _KEY_ID.fullmatch(key_id) and len(secret) == KEY_BYTES
            for key_id, secret in keys.items()
        )
        if not valid or active not in keys:
            raise InvalidMasterKey("master keys have 32 bytes and a short id, and one is active")
        self._ciphers = {key_id: AESGCM(secret) for key_id, secret in keys.items()}
        self.active = active

    def __repr__(self) -> str:
        return f"MasterKeys(ids={sorted(self._ciphers)}, active={self.active!r})"

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Parse `id:base64,id2:base64`, the first active; raises InvalidMasterKey."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(setting.split(","), start=1):
            key_id, _, encoded = entry.strip().partition(":")
            secret = _from_base64(encoded)
            # Named by number, not by ID: in an entry without an ID, the key stands in its place.
            if not _KEY_ID.fullmatch(key_id) or len(secret) != KEY_BYTES:
                raise InvalidMasterKey(f"{_EXPECTED_FORM}. Entry {number} does not.")
            if key_id in keys:
                raise InvalidMasterKey(f"{_EXPECTED_FORM}. Entry {number} repeats an id.")
            keys[key_id] = secret
        return cls(keys, active=next(iter(keys)))

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._ciphers)

    def replace(self, other: "MasterKeys") -> None:
        """Use the keys of another one from now on, everywhere.

        Keys that it lacks still unwrap: stored keys may need them, which only a start checks.
        """
        self._ciphers = {**self._ciphers, **other._ciphers}
        self.active = other.active

    def wrap(self, data_key: DataKey, session_id: UUID) -> bytes:
        """Encrypt a session's data key with the active master key."""
        header = wrapped_prefix(self.active)
        sealed = encrypt(self._ciphers[self.active], data_key.secret, header + session_id.bytes)
        return header + sealed[len(FORMAT) :]

    def unwrap(self, wrapped: bytes | None, session_id: UUID) -> DataKey:
        """Decrypt a session's data key; None stands for the key of an erased session.

        Raises KeyDestroyed, UnknownMasterKey, WrongMasterKey or UnsealError.
        """
        if wrapped is None:
            raise KeyDestroyed(f"the key of session {session_id} was destroyed")
        key_id = master_key_id_of(wrapped)
        if key_id not in self._ciphers:
            raise UnknownMasterKey(key_id, session_id)
        header = wrapped_prefix(key_id)
        sealed = FORMAT + wrapped[len(header) :]
        secret = decrypt(self._ciphers[key_id], sealed, header + session_id.bytes)
        if secret is None or len(secret) != KEY_BYTES:
            raise WrongMasterKey(key_id, session_id)
        return DataKey(secret)


def wrapped_prefix(key_id: str) -> bytes:
    """Return the bytes with which exactly the data keys begin that a master key wrapped."""
    return FORMAT + bytes([len(key_id)]) + key_id.encode("ascii")


def master_key_id_of(wrapped: bytes) -> str:
    """Return the ID of the master key that wrapped a data key; raises UnsealError."""
    if len(wrapped) >= 2 and wrapped[:1] == FORMAT:
        key_id = wrapped[2 : 2 + wrapped[1]].decode("ascii", errors="replace")
        if len(key_id) == wrapped[1] and _KEY_ID.fullmatch(key_id):
            return key_id
    raise UnsealError("these bytes are not a wrapped data key")


def _from_base64(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
