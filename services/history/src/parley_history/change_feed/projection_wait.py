"""Projection wait: requests wait, bounded in time and number, for the versions they need."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

from pydantic import Field

from parley_core.auth.principal import Principal
from parley_core.http.errors import TooManyRequests, Unavailable
from parley_core.http.person_limit import PersonLimit, PersonShare
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
    max_person_share: PersonShare = Field(
        default=0.4,  # Waiting is cheap, and a program may read many of its sessions at once.
        description="the share of these requests that one person may have, over 0 and up to 1",
    )


class ProjectionWaiter:
    def __init__(
        self,
        versions: SessionVersions,
        change_feed: ChangeFeed,
        settings: ProjectionWaitSettings,
    ) -> None:
        self._versions, self._change_feed, self._settings = versions, change_feed, settings
        self._limit = PersonLimit(
            settings.max_waiters,
            settings.max_person_share,
            things="reads that wait for the projection",
            person_code="too_many_waiting_reads",
            busy_code="history_busy",
        )

    async def wait_for(self, session_id: UUID, min_version: int, person: Principal) -> None:
        """Return when the session is projected to the version, or at the timeout.

        Raises Unavailable when too many requests wait, TooManyRequests when too many of the person.
        """
        with self._limit.slot(person):
            await self._wait({session_id: min_version})

    async def wait_for_all(self, min_versions: Mapping[UUID, int], person: Principal) -> bool:
        """Wait until all sessions are projected; False at the timeout, or when too many wait."""
        # Usually few of the sessions are behind, and waiting for one costs a statement each time.
        behind = await self._versions.behind(min_versions) if min_versions else {}
        if not behind:
            return True
        with suppress(TooManyRequests, Unavailable), self._limit.slot(person):
            return await self._wait(behind)
        return False

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
