"""Statistics of the active read-model version: positions, dead letters, deferred events."""

from collections.abc import Mapping
from dataclasses import dataclass

from parley_history.storage.database import Connection, DatabaseSettings, connect
from parley_history.storage.versions.schema import ENTER_ACTIVE_VERSION

_READ_POSITIONS = "SELECT partition, next FROM positions"
_COUNT = """
SELECT count(*) AS dead_letters, count(DISTINCT session_id) AS parked_sessions,
    (SELECT count(*) FROM deferred_events) AS deferred_events
FROM dead_letters
"""


@dataclass(frozen=True, slots=True)
class ProjectionStats:
    """`positions` has the offset of the next record of each partition that was ever read."""

    positions: Mapping[int, int]
    dead_letters: int
    parked_sessions: int
    deferred_events: int


class ProjectionStatsReader:
    """Reads over a dedicated connection, reopened after each error."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._database = database
        self._connection: Connection | None = None

    async def read(self) -> ProjectionStats:
        connection = await self._connected()
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(ENTER_ACTIVE_VERSION)
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

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._database,
                "parley-projector-watchdog",
                statement_timeout_seconds=self._database.timeout_seconds,
            )
        return self._connection
