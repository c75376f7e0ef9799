"""Projection wait: requests wait, bounded in time and number, for the versions they need."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

from pydantic import Field

from parley_core.http.errors import Unavailable
from parley_core.runtime.settings import Count, Seconds, SettingsGroup
from parley_history.change_feed.listener import ChangeFeed
from parley_history.storage.session_versions import SessionVersions


class ProjectionWaitSettings(SettingsGroup):
    timeout_seconds: Seconds = Field(
        default=2,
        description="seconds that a request waits for the projection, over 0 and up to 86400",
    )
    max_waiters: Count = Field(
        default=500, description="the number of requests that may wait, from 1"
    )


class ProjectionWaiter:
    def __init__(
        self,
        versions: SessionVersions,
        change_feed: ChangeFeed,
        settings: ProjectionWaitSettings,
    ) -> None:
        self._versions, self._change_feed, self._settings = versions, change_feed, settings

    async def wait_for(self, session_id: UUID, min_version: int) -> None:
        """Return when the session is projected to the version, or at the timeout.

        Raises Unavailable when too many requests wait.
        """
        if not self._has_room:
            raise Unavailable(
                "Too many requests wait for the projection. Please retry.", code="history_busy"
            )
        await self._wait({session_id: min_version})

    async def wait_for_all(self, min_versions: Mapping[UUID, int]) -> bool:
        """Wait until all sessions are projected; False at the timeout, or when too many wait."""
        # Usually few of the sessions are behind, and waiting for one costs a statement each time.
        behind = await self._versions.behind(min_versions) if min_versions else {}
        if not behind:
            return True
        return self._has_room and await self._wait(behind)

    @property
    def _has_room(self) -> bool:
        return self._change_feed.waiters < self._settings.max_waiters

    async def _wait(self, min_versions: Mapping[UUID, int]) -> bool:
        # The timeout also bounds a database that does not respond; the next read reports it.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.timeout_seconds):
                for session_id, version in min_versions.items():
                    with self._change_feed.watch(session_id) as subscription:
                        while await self._versions.version(session_id) < version:
                            await subscription.wait()
                return True
        return False
