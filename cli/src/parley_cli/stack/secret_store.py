"""Secret store of a development stack: generated once, in files that only the owner can read."""

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from parley_cli.errors import CommandError
from parley_core.auth.service_keys import CALLING_SERVICES, SigningKey, generate_signing_key
from parley_core.crypto.master_keys import InvalidMasterKey, MasterKeys
from parley_core.crypto.sealing import KEY_BYTES

KAFKA_PASSWORD, REDIS_PASSWORD = "kafka-password", "redis-password"
SERVICE_KEYS = "service-keys"


class SecretLost(CommandError):
    """A secret is missing or damaged and cannot be replaced; the message says what to do."""


class SecretStore:
    def __init__(self, data: Path) -> None:
        self._folder = data / "secrets"

    def password(self, name: str) -> str:
        """The stored password, generated on first use: 43 letters, digits, `-` and `_`."""
        return self._get_or_create(name, lambda: secrets.token_urlsafe(32))

    def jwt_secret(self) -> str:
        return self.password("jwt-secret")

    @property
    def master_key_path(self) -> Path:
        return self._folder / "master-key"

    def master_key(self, *, may_create: bool) -> str:
        """`id:base64`. Raises SecretLost if the key is missing and `may_create` is false."""
        path = self.master_key_path
        if not may_create and not path.exists():
            raise SecretLost(
                f"{path} is missing; without it, stored sessions cannot be read. Restore the file, "
                "set PARLEY_MASTER_KEY, or choose another data folder."
            )
        key = self._get_or_create("master-key", _new_master_key)
        try:
            MasterKeys.parse(key)
        except InvalidMasterKey:
            raise SecretLost(f"{path} is damaged: restore the file.") from None
        return key

    def create_signing_keys(self) -> Path:
        """The folder with the key of each calling service, and the set of their public keys.

        Raises SecretLost.
        """
        keys = []
        for service in CALLING_SERVICES:
            new_key = partial(_new_signing_key, service)
            text = self._get_or_create(signing_key_name(service), new_key)
            keys.append(self._parsed(service, text))
        _write(self._folder / SERVICE_KEYS, key_set(keys))
        return self._folder

    def signing_key(self, service: str) -> SigningKey | None:
        """The stored key, or None. Raises SecretLost if the file is damaged."""
        text = self.existing(signing_key_name(service))
        return self._parsed(service, text) if text else None

    def _parsed(self, service: str, text: str) -> SigningKey:
        try:
            return SigningKey.parse(text)
        except ValueError:
            path = self._folder / signing_key_name(service)
            raise SecretLost(f"{path} is damaged: restore the file, or remove it.") from None

    def existing(self, name: str) -> str | None:
        """The stored secret, or None. Raises SecretLost if the file is damaged."""
        path = self._folder / name
        return _read(path) if path.exists() else None

    def _get_or_create(self, name: str, create: Callable[[], str]) -> str:
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(path, create())
        return _read(path)


def _write(path: Path, text: str) -> None:
    # Imported here: `parley token` only reads, and this package imports the clients of engines.
    from parley_cli.engines.private_file import write_private

    write_private(path, text)


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SecretLost(f"{path} is damaged: restore the file.") from None
    if not text:
        raise SecretLost(f"{path} is empty: restore the file, or remove it.")
    return text


def signing_key_name(service: str) -> str:
    return f"{service}-signing-key"


def key_set(keys: Iterable[SigningKey]) -> str:
    """A JSON Web Key Set with the public parts."""
    return json.dumps({"keys": [key.public_jwk() for key in keys]}, indent=1) + "\n"


def _new_signing_key(service: str) -> str:
    return json.dumps(generate_signing_key(service, 1).to_jwk()) + "\n"


def _new_master_key() -> str:
    return "local:" + base64.b64encode(os.urandom(KEY_BYTES)).decode()
