"""Unwraps the keys of a backup, in batches, for `verify-backup`."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from parley_core.crypto.master_keys import MasterKeys, UnknownMasterKey
from parley_core.crypto.sealing import DataKey
from parley_session.key_management.keyring import Keyring

_BATCH_KEYS = 100

AddProblem: TypeAlias = Callable[[str], None]


class KeyCheck:
    """A context manager, which checks the last keys at its end.

    Every method raises KeyServiceUnavailable.
    """

    def __init__(self, master_keys: MasterKeys) -> None:
        self._keyring, self._runner = Keyring(master_keys), asyncio.Runner()
        self._pending: list[tuple[bytes, UUID, AddProblem]] = []

    def __enter__(self) -> "KeyCheck":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._check()
        finally:
            self._runner.run(self._keyring.aclose())
            self._runner.close()

    def add(self, wrapped: str | None, wrapped_for: UUID, add_problem: AddProblem) -> None:
        """Check a key as COPY writes it; a problem completes "the key of X …", perhaps later."""
        try:
            wrapped_key = bytes.fromhex((wrapped or "").removeprefix("\\x"))
        except ValueError:
            wrapped_key = b""
        self._pending.append((wrapped_key, wrapped_for, add_problem))
        if len(self._pending) == _BATCH_KEYS:
            self._check()

    def _check(self) -> None:
        pending, self._pending = self._pending, []
        wrapped = [(wrapped_key, wrapped_for) for wrapped_key, wrapped_for, _ in pending]
        keys = self._runner.run(self._keyring.try_unwrap_all(wrapped))
        for key, (_, _, add_problem) in zip(keys, pending, strict=True):
            if isinstance(key, UnknownMasterKey):
                add_problem("has a key wrapped by another master key")
            elif not isinstance(key, DataKey):
                add_problem("has a key that cannot be unwrapped")
