"""Waiting for the projection: woken when sessions move, bounded in time and in number."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Protocol
from uuid import UUID

from parley_core.http.errors import Unavailable


class Versions(Protocol):
    """`pages.Pages` is one."""

    async def version(self, session_id: UUID) -> int: ...
    async def behind(self, seen: Mapping[UUID, int]) -> Mapping[UUID, int]: ...


class Subscription(Protocol):
    async def next(self) -> None: ...


class ChangeFeed(Protocol):
    """`movements.Movements` is one."""

    @property
    def waiting(self) -> int: ...
    def of(self, session_id: UUID) -> AbstractContextManager[Subscription]: ...


class ProjectionWaiter:
    """At most `most` requests wait at once, each for `seconds` at most."""

    def __init__(
        self, versions: Versions, movements: ChangeFeed, *, seconds: float, most: int
    ) -> None:
        self._versions, self._movements = versions, movements
        self._seconds, self._most = seconds, most

    async def for_one(self, session_id: UUID, least: int) -> None:
        """Return when the session is projected so far, or when the time is up."""
        if self._movements.waiting >= self._most:
            raise Unavailable("Too many requests wait here; try again.", code="history_busy")
        await self._until({session_id: least})

    async def for_all(self, least: Mapping[UUID, int]) -> None:
        """Return when all sessions are projected so far, or when it cannot be waited for longer."""
        # Of all that were seen few are behind, and each look at one is a statement.
        behind = await self._versions.behind(least) if least else {}
        if self._movements.waiting < self._most:
            await self._until(behind)

    async def _until(self, least: Mapping[UUID, int]) -> None:
        # A database that does not answer in time ends the wait as well: the next read tells.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                for session_id, version in least.items():
                    with self._movements.of(session_id) as movement:
                        while await self._versions.version(session_id) < version:
                            await movement.next()
