"""Keyring: the master keys of a process, of which the active one wraps, and all unwrap.

Several kinds stand beside each other: a wrapped key names its master key.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, assert_never
from uuid import UUID

from parley_core.crypto.master_keys import (
    AwsKmsKey,
    Definition,
    KeyDestroyed,
    LocalKey,
    MasterKeys,
    UnknownMasterKey,
    VaultKey,
    WrongMasterKey,
    master_key_id_of,
    wrapped_prefix,
)
from parley_core.crypto.sealing import KEY_BYTES, DataKey, UnsealError
from parley_session.key_management.cached_key_wrapper import CachedKeyWrapper
from parley_session.key_management.key_service_monitor import KeyServiceMonitor
from parley_session.key_management.key_wrapper import KeyItem, KeyWrapper
from parley_session.key_management.local_key_wrapper import LocalKeyWrapper

UnwrapResult: TypeAlias = DataKey | UnknownMasterKey | UnsealError


class Keyring:
    def __init__(self, master_keys: MasterKeys, monitor: KeyServiceMonitor | None = None) -> None:
        """Raises InvalidSettings."""
        self._monitor = monitor or KeyServiceMonitor()
        self._definitions: dict[str, Definition] = {}
        self._wrappers: dict[str, KeyWrapper] = {}
        # With those that a changed definition replaced: calls may still be under way.
        self._opened: list[KeyWrapper] = []
        self.active = master_keys.active
        self.replace(master_keys)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._wrappers)

    def replace(self, master_keys: MasterKeys) -> None:
        """Use these master keys from now on, everywhere. Raises InvalidSettings.

        Keys that they lack still unwrap: stored keys may need them, which only a start checks.
        """
        changed = {
            key_id: _wrapper(key_id, definition, self._monitor)
            for key_id, definition in master_keys.definitions.items()
            if self._definitions.get(key_id) != definition
        }
        self._opened += changed.values()
        self._wrappers = {**self._wrappers, **changed}
        self._definitions = {**self._definitions, **master_keys.definitions}
        self.active = master_keys.active

    async def wrap(self, key: DataKey, wrapped_for: UUID) -> bytes:
        """Like `wrap_all`, of one key."""
        [wrapped] = await self.wrap_all([(key, wrapped_for)])
        return wrapped

    async def wrap_all(self, keys: Sequence[tuple[DataKey, UUID]]) -> Sequence[bytes]:
        """Wrap keys with the active master key, each for an id. Raises KeyServiceUnavailable."""
        active = self.active
        items = [KeyItem(key.secret, wrapped_for) for key, wrapped_for in keys]
        header = wrapped_prefix(active)
        return [header + each for each in await self._wrappers[active].wrap(items)]

    async def unwrap(self, wrapped: bytes | None, wrapped_for: UUID) -> DataKey:
        """Unwrap a key; None stands for the key of an erased session.

        Raises KeyDestroyed, UnknownMasterKey, WrongMasterKey, UnsealError, KeyServiceUnavailable.
        """
        if wrapped is None:
            raise KeyDestroyed(f"the key of session {wrapped_for} was destroyed")
        key_id = master_key_id_of(wrapped)
        if key_id not in self._wrappers:
            raise UnknownMasterKey(key_id, wrapped_for)
        # Not through `unwrap_all`, which takes twice as long for one local key.
        item = KeyItem(wrapped[len(wrapped_prefix(key_id)) :], wrapped_for)
        [secret] = await self._wrappers[key_id].unwrap([item])
        if secret is None or len(secret) != KEY_BYTES:
            raise WrongMasterKey(key_id, wrapped_for)
        return DataKey(secret)

    async def unwrap_all(self, wrapped: Sequence[tuple[bytes, UUID]]) -> Sequence[DataKey]:
        """Raises what `unwrap` does, of the first that cannot be unwrapped."""
        keys = []
        for key in await self.try_unwrap_all(wrapped):
            if isinstance(key, Exception):
                raise key
            keys.append(key)
        return keys

    async def try_unwrap_all(self, wrapped: Sequence[tuple[bytes, UUID]]) -> Sequence[UnwrapResult]:
        """In the order given, each key or why it cannot be unwrapped.

        Raises KeyServiceUnavailable.
        """
        found: list[UnwrapResult | None] = [None] * len(wrapped)
        by_key_id: defaultdict[str, list[int]] = defaultdict(list)
        for index, (each, wrapped_for) in enumerate(wrapped):
            try:
                key_id = master_key_id_of(each)
            except UnsealError as error:
                found[index] = error
                continue
            if key_id in self._wrappers:
                by_key_id[key_id].append(index)
            else:
                found[index] = UnknownMasterKey(key_id, wrapped_for)
        for key_id, indexes in by_key_id.items():
            start = len(wrapped_prefix(key_id))
            items = [KeyItem(wrapped[each][0][start:], wrapped[each][1]) for each in indexes]
            secrets = await self._wrappers[key_id].unwrap(items)
            for index, secret in zip(indexes, secrets, strict=True):
                found[index] = (
                    WrongMasterKey(key_id, wrapped[index][1])
                    if secret is None or len(secret) != KEY_BYTES
                    else DataKey(secret)
                )
        return [each for each in found if each is not None]

    async def aclose(self) -> None:
        for wrapper in self._opened:
            await wrapper.aclose()


@asynccontextmanager
async def opened_keyring(master_keys: MasterKeys) -> AsyncIterator[Keyring]:
    """The keyring of a maintenance command. Raises InvalidSettings."""
    keyring = Keyring(master_keys)
    try:
        yield keyring
    finally:
        await keyring.aclose()


def _wrapper(key_id: str, definition: Definition, monitor: KeyServiceMonitor) -> KeyWrapper:
    # Imported where they are used: an HTTP client takes a tenth of a second of each start.
    match definition:
        case LocalKey(secret):
            return LocalKeyWrapper(key_id, secret)
        case VaultKey():
            from parley_session.key_management.vault_transit import VaultTransit

            return CachedKeyWrapper(VaultTransit(key_id, definition, monitor))
        case AwsKmsKey():
            from parley_session.key_management.aws_kms import AwsKms

            return CachedKeyWrapper(AwsKms(key_id, definition, monitor))
        case _:
            assert_never(definition)
