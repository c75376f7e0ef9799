"""How far the active version is, and what it could not apply, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from parley_history.storage.projection_tables import Connection

# Without the lock that a writer takes: whoever only looks does not wait for a swap.
_ENTER_ACTIVE = """
SELECT set_config('search_path', 'read_model_' || version, true) FROM public.active_read_model
"""
_READ_POSITIONS = "SELECT partition, next FROM positions"
_COUNT = """
SELECT count(*) AS dead_letters, count(DISTINCT session_id) AS parked_sessions,
    (SELECT count(*) FROM held_events) AS held_events
FROM dead_letters
"""


@dataclass(frozen=True, slots=True)
class ProjectionStats:
    """`positions` is the offset of the next record, of each partition that was ever read."""

    positions: Mapping[int, int]
    dead_letters: int
    parked_sessions: int
    held_events: int


class ProjectionStatsReader:
    """One connection of its own, made anew after each error."""

    def __init__(self, database: str, *, seconds: float) -> None:
        self._database, self._seconds = database, seconds
        self._connection: Connection[asyncpg.Record] | None = None

    async def read(self) -> ProjectionStats:
        connection = await self._connected()
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(_ENTER_ACTIVE)
                positions = await connection.fetch(_READ_POSITIONS)
                [counts] = await connection.fetch(_COUNT)
        except BaseException:
            await self.close()
            raise
        return ProjectionStats({row["partition"]: row["next"] for row in positions}, **counts)

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def _connected(self) -> "Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._database,
                timeout=self._seconds,
                command_timeout=self._seconds,
                server_settings={"application_name": "parley-projector-watchdog"},
            )
        return self._connection
