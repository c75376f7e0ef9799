"""The secrets of a development stack: made once, kept in its data folder, readable by its owner."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from parley_core.crypto.master_keys import InvalidMasterKey, MasterKeys
from parley_core.crypto.sealing import KEY_BYTES


class SecretLost(Exception):
    """A secret is missing or damaged and must not be made anew; the message says what to do."""


class SecretStore:
    def __init__(self, data: Path) -> None:
        self._folder = data / "secrets"

    def password(self, name: str) -> str:
        """A random text of 43 letters, digits, `-` and `_`."""
        return self._kept(name, lambda: secrets.token_urlsafe(32))

    def jwt_secret(self) -> str:
        return self.password("jwt-secret")

    def master_key(self, *, may_make: bool) -> str:
        """`id:base64`. Raises SecretLost when it is not there and `may_make` is false."""
        path = self._folder / "master-key"
        if not may_make and not path.exists():
            raise SecretLost(
                f"{path} is missing, and with it the key of every session stored so far: put it "
                "back, or set PARLEY_MASTER_KEY, or start afresh with another data folder."
            )
        key = self._kept("master-key", _new_master_key)
        try:
            MasterKeys.parse(key)
        except InvalidMasterKey:
            raise SecretLost(f"{path} is damaged: put the whole file back.") from None
        return key

    def existing(self, name: str) -> str | None:
        """Raises SecretLost when it is damaged."""
        path = self._folder / name
        return _read(path) if path.exists() else None

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, make())
        return _read(path)


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SecretLost(f"{path} is damaged: put the whole file back.") from None
    if not text:
        raise SecretLost(f"{path} is empty: put the file back, or remove it.")
    return text


def write_private(path: Path, text: str) -> None:
    """Write a whole file, or none, that only its owner can read from its first byte on."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _new_master_key() -> str:
    return "local:" + base64.b64encode(os.urandom(KEY_BYTES)).decode()
