"""Master keys: key encryption keys that wrap the data key of each session (envelope encryption).

A wrapped key: format byte, length of the master key's ID, that ID, and what the master key made
of the data key. No error raised here carries a key.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct

from parley_core.crypto.sealing import FORMAT, KEY_BYTES, UnsealError
from parley_core.runtime.text_files import InvalidFile
from parley_core.runtime.yaml_file import parse_yaml

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXPECTED_FORM = (
    "PARLEY_MASTER_KEY should look like id:base64 or id:base64,id2:base64, each base64 part the "
    "32 bytes of one key and each id up to 64 letters, digits, '.', '_' or '-'; the first is active"
)
_INVALID_LIST = "PARLEY_MASTER_KEY is not a valid list of master keys"

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2_048)]
_Url: TypeAlias = Annotated[str, Meta(pattern="^https?://[^/]+")]


class KeyDestroyed(Exception):
    """The session was erased: its data key, and all content sealed with it, are unrecoverable."""


class KeyUnavailable(Exception):
    """A key cannot be wrapped or unwrapped with the master key `key_id`, at least for now."""

    def __init__(self, message: str, key_id: str) -> None:
        super().__init__(message)
        self.key_id = key_id


class UnknownMasterKey(KeyUnavailable):
    """The data key is wrapped with a master key that this process does not have."""

    def __init__(self, key_id: str, wrapped_for: UUID) -> None:
        super().__init__(f"session {wrapped_for} needs master key {key_id!r}", key_id)


class WrongMasterKey(KeyUnavailable, UnsealError):
    """The data key is damaged, or wrapped with another master key of the same id."""

    def __init__(self, key_id: str, wrapped_for: UUID) -> None:
        message = f"master key {key_id!r} does not unwrap the key of session {wrapped_for}"
        super().__init__(message, key_id)


class InvalidMasterKey(ValueError):
    """The setting does not contain valid master keys; the message never repeats a key."""


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A master key in the settings."""

    secret: bytes = field(repr=False)


class VaultKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key of the transit secrets engine of HashiCorp Vault, or of OpenBao."""

    address: _Url
    key: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]+$")]
    token_file: _Name
    """Path of a file with a token, read for every call."""
    mount: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] = "transit"
    namespace: _Name | None = None
    ca_file: _Name | None = None
    """Path of a PEM file with the only authorities to trust."""


class AwsKmsKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A symmetric key of AWS KMS."""

    key: _Name
    """ARN, id or `alias/…`."""
    region: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    endpoint: _Url | None = None
    """URL of another endpoint than the region's public one."""


Definition: TypeAlias = LocalKey | VaultKey | AwsKmsKey


class _Entry(Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(pattern=f"^{_KEY_ID.pattern}$")]
    local: str | None = None
    vault: VaultKey | None = None
    aws_kms: AwsKmsKey | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.local, self.vault, self.aws_kms)) != 1:
            raise ValueError("expected one of `local`, `vault` and `aws_kms`")
        if self.local is not None and len(_from_base64(self.local)) != KEY_BYTES:
            raise ValueError("`local` is not the base64 of 32 bytes")

    @property
    def definition(self) -> Definition:
        if self.local is not None:
            return LocalKey(_from_base64(self.local))
        defined = self.vault or self.aws_kms
        assert defined is not None
        return defined


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The master keys of a process by id: the first is active, the others only unwrap."""

    definitions: dict[str, Definition]

    @classmethod
    def parse(cls, setting: str) -> Self:
        """Parse `id:base64,id2:base64`, or a list in YAML or JSON; raises InvalidMasterKey."""
        is_list = setting.lstrip()[:1] in ("-", "[", "#")
        return cls(_of_list(setting) if is_list else _of_pairs(setting))

    @property
    def active(self) -> str:
        return next(iter(self.definitions))

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self.definitions)


def wrapped_prefix(key_id: str) -> bytes:
    """Return the bytes with which exactly the keys begin that a master key wrapped."""
    return FORMAT + bytes([len(key_id)]) + key_id.encode("ascii")


def master_key_id_of(wrapped: bytes) -> str:
    """Return the ID of the master key that wrapped a data key; raises UnsealError."""
    if len(wrapped) >= 2 and wrapped[:1] == FORMAT:
        key_id = wrapped[2 : 2 + wrapped[1]].decode("ascii", errors="replace")
        if len(key_id) == wrapped[1] and _KEY_ID.fullmatch(key_id):
            return key_id
    raise UnsealError("these bytes are not a wrapped data key")


def _of_pairs(text: str) -> dict[str, Definition]:
    keys: dict[str, Definition] = {}
    for number, entry in enumerate(text.split(","), start=1):
        key_id, _, encoded = entry.strip().partition(":")
        secret = _from_base64(encoded)
        # Named by number, not by ID: in an entry without an ID, the key stands in its place.
        if not _KEY_ID.fullmatch(key_id) or len(secret) != KEY_BYTES:
            raise InvalidMasterKey(f"{_EXPECTED_FORM}. Entry {number} does not.")
        if key_id in keys:
            raise InvalidMasterKey(f"{_EXPECTED_FORM}. Entry {number} repeats an id.")
        keys[key_id] = LocalKey(secret)
    return keys


def _of_list(text: str) -> dict[str, Definition]:
    try:
        entries: Sequence[_Entry] = parse_yaml(text.encode(), list[_Entry])
    except InvalidFile as invalid:
        raise InvalidMasterKey(f"{_INVALID_LIST}: {invalid}") from None
    keys: dict[str, Definition] = {}
    for number, entry in enumerate(entries, start=1):
        if entry.id in keys:
            raise InvalidMasterKey(f"{_INVALID_LIST}: entry {number} repeats an id")
        keys[entry.id] = entry.definition
    if not keys:
        raise InvalidMasterKey(f"{_INVALID_LIST}: it is empty")
    return keys


def _from_base64(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
