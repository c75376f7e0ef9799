"""The keys that session holds, of sessions and of people: kept in memory, used for a short time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from parley_contracts.session_api.limits import MAX_DATA_KEYS_PER_REQUEST
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import NotFound

Owner = TypeVar("Owner", bound=Hashable)


Ask = Callable[[Sequence[Owner], str], Awaitable[Mapping[Owner, DataKey | None]]]
"""Answers the keys of at most 100 that exist; None where one was destroyed. Raises ParleyError."""


class _Kept(NamedTuple):
    key: DataKey
    until: float


class KeyCache(Generic[Owner]):
    """Keeps at most `most` keys, gives each for `seconds`; drops the least recently used one."""

    def __init__(
        self,
        ask: Ask[Owner],
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_holder, self._most, self._seconds, self._clock = ask, most, seconds, clock
        self._kept: OrderedDict[Owner, _Kept] = OrderedDict()
        self._drops = 0

    async def of_many(self, owners: Collection[Owner], request_id: str) -> dict[Owner, DataKey]:
        """The keys there are; an owner that is erased or unknown has none. Raises Unavailable."""
        keys = {owner: key for owner in owners if (key := self._still_kept(owner)) is not None}
        missing = [owner for owner in owners if owner not in keys]
        for start in range(0, len(missing), MAX_DATA_KEYS_PER_REQUEST):
            keys |= await self._ask(missing[start : start + MAX_DATA_KEYS_PER_REQUEST], request_id)
        return keys

    def kept_of(self, owners: Collection[Owner]) -> list[Owner]:
        """Those whose key is kept."""
        return [owner for owner in owners if owner in self._kept]

    @property
    def kept(self) -> list[Owner]:
        return [*self._kept]

    def drop(self, owners: Collection[Owner]) -> None:
        """Forget their keys, and keep none that is being asked for now."""
        self._drops += 1
        for owner in owners:
            self._kept.pop(owner, None)

    def _still_kept(self, owner: Owner) -> DataKey | None:
        kept = self._kept.get(owner)
        if kept is None:
            return None
        if self._clock() >= kept.until:
            del self._kept[owner]
            return None
        self._kept.move_to_end(owner)
        return kept.key

    async def _ask(self, owners: Sequence[Owner], request_id: str) -> dict[Owner, DataKey]:
        # From before the call: by then the keys were not destroyed.
        until, drops = self._clock() + self._seconds, self._drops
        answered = await self._of_holder(owners, request_id)
        keys = {owner: key for owner, key in answered.items() if key is not None}
        if drops == self._drops:
            self._kept |= {owner: _Kept(key, until) for owner, key in keys.items()}
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return keys


class DataKeyCache(KeyCache[UUID]):
    """The sessions' keys, of which one alone is asked for by many at once."""

    def __init__(
        self,
        ask: Ask[UUID],
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ask, most=most, seconds=seconds, clock=clock)
        self._asked: dict[UUID, asyncio.Task[dict[UUID, DataKey]]] = {}

    async def of(self, session_id: UUID, request_id: str) -> DataKey:
        """Raises NotFound for an erased session, Unavailable when session does not answer."""
        if (key := self._still_kept(session_id)) is not None:
            return key
        asking = self._asked.get(session_id)
        if asking is None:
            asking = asyncio.create_task(self._ask([session_id], request_id))
            self._asked[session_id] = asking
            asking.add_done_callback(lambda done: self._answered(session_id, done))
        # Shielded: one reader that goes away must not take the answer from the others.
        keys = await asyncio.shield(asking)
        if session_id not in keys:
            raise NotFound("There is no such session.", code="session_not_found")
        return keys[session_id]

    def _answered(self, session_id: UUID, asking: asyncio.Task[dict[UUID, DataKey]]) -> None:
        del self._asked[session_id]
        if not asking.cancelled():
            # Looked at here: perhaps every reader has gone away.
            asking.exception()
