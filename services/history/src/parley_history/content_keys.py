"""The sessions' content keys: asked of session, kept in memory for a minute at most."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from parley_core.errors import NotFound
from parley_core.sealing import DataKey


class KeyHolder(Protocol):
    """`session_client.SessionClient` is one."""

    async def keys(
        self, session_ids: Sequence[UUID], request_id: str
    ) -> Mapping[UUID, DataKey | None]:
        """The keys of the sessions that exist; None where one was erased. Raises ParleyError."""
        ...


class _Kept(NamedTuple):
    key: DataKey
    until: float


class ContentKeys:
    """Keeps at most `most` keys for `seconds`; drops the one that was used least recently."""

    def __init__(
        self,
        holder: KeyHolder,
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holder, self._most, self._seconds, self._clock = holder, most, seconds, clock
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()
        self._asked: dict[UUID, asyncio.Task[DataKey]] = {}

    async def of(self, session_id: UUID, request_id: str) -> DataKey:
        """Raises NotFound for an erased session, Unavailable when session does not answer."""
        if (key := self._still_kept(session_id)) is not None:
            return key
        asking = self._asked.get(session_id)
        if asking is None:
            asking = asyncio.create_task(self._ask(session_id, request_id))
            self._asked[session_id] = asking
            asking.add_done_callback(lambda done: self._answered(session_id, done))
        # Shielded: one reader that goes away must not take the answer from the others.
        return await asyncio.shield(asking)

    def _still_kept(self, session_id: UUID) -> DataKey | None:
        kept = self._kept.get(session_id)
        if kept is None:
            return None
        if self._clock() >= kept.until:
            del self._kept[session_id]
            return None
        self._kept.move_to_end(session_id)
        return kept.key

    async def _ask(self, session_id: UUID, request_id: str) -> DataKey:
        # From before the call: by then the key was not destroyed.
        until = self._clock() + self._seconds
        keys = await self._holder.keys([session_id], request_id)
        key = keys.get(session_id)
        if key is None:
            raise NotFound("There is no such session.", code="session_not_found")
        self._kept[session_id] = _Kept(key, until)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return key

    def _answered(self, session_id: UUID, asking: asyncio.Task[DataKey]) -> None:
        del self._asked[session_id]
        if not asking.cancelled():
            # Looked at here: perhaps every reader has gone away.
            asking.exception()
