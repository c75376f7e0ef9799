"""Port: one master key, which wraps and unwraps data keys, in the process or in a key service."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from parley_core.crypto.master_keys import KeyUnavailable


class KeyItem(NamedTuple):
    """A key, in the clear or wrapped, and the id that it is wrapped for."""

    value: bytes
    wrapped_for: UUID


class KeyWrapper(Protocol):
    """A key unwraps only with the id that it was wrapped for. Results are in the order of items."""

    async def wrap(self, items: Sequence[KeyItem]) -> Sequence[bytes]:
        """Raises KeyServiceUnavailable."""

    async def unwrap(self, items: Sequence[KeyItem]) -> Sequence[bytes | None]:
        """None for what this master key did not wrap for that id. Raises KeyServiceUnavailable."""

    async def aclose(self) -> None: ...


class KeyServiceUnavailable(KeyUnavailable):
    """The service of a master key gave no answer, or refused to use the key."""

    def __init__(self, key_id: str, retry_after_seconds: int) -> None:
        super().__init__(f"the key service of master key {key_id!r} is unavailable", key_id)
        self.retry_after_seconds = retry_after_seconds
