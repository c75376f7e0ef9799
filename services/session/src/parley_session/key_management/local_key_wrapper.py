"""Adapter: a master key in the settings, which wraps with AES-256-GCM.

A wrapped key is a nonce of 12 bytes and the ciphertext with its tag of 16 bytes.
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_core.crypto.master_keys import wrapped_prefix
from parley_core.crypto.sealing import FORMAT, decrypt, encrypt
from parley_session.key_management.key_wrapper import KeyItem


class LocalKeyWrapper:
    def __init__(self, key_id: str, secret: bytes) -> None:
        self._cipher, self._header = AESGCM(secret), wrapped_prefix(key_id)

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        sealed = (encrypt(self._cipher, item.value, self._bound_to(item)) for item in items)
        return [each[len(FORMAT) :] for each in sealed]

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes | None]:
        return [decrypt(self._cipher, FORMAT + item.value, self._bound_to(item)) for item in items]

    async def aclose(self) -> None:
        pass

    def _bound_to(self, item: KeyItem) -> bytes:
        return self._header + item.wrapped_for.bytes
