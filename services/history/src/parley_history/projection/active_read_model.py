"""The active version of the read model, as the projector moves it, over one connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from parley_history.domain.batch import DeadLetter
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.projection.batch_applier import BatchApplier, LiveRows, PositionUpdate
from parley_history.storage.projection_tables import Connection
from parley_history.storage.versions import active_version

# A projector whose machine vanished must not hold its partitions' rows for Linux's two hours.
_CONNECTION_SETTINGS = {
    "application_name": "parley-projector",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "10s",
}


@dataclass(frozen=True, slots=True)
class ReadModelLimits:
    """Seconds and counts; see the settings of the same names."""

    database_seconds: float
    held_events: int


class ReadModel:
    """One connection, made when it is needed; after an error it must be closed."""

    def __init__(self, database: str, limits: ReadModelLimits) -> None:
        self._database, self._limits = database, limits
        self._applying = BatchApplier(active_version, LiveRows(), limits.held_events)
        self._connection: Connection[asyncpg.Record] | None = None

    async def positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """The offset of the next record of each partition; 0 for one that is new."""
        return await self._applying.positions_of(await self._connected(), partitions)

    async def project(
        self, arrivals: Sequence[IncomingRecord], moves: Sequence[PositionUpdate]
    ) -> Sequence[DeadLetter]:
        """Apply the arrivals and move the positions, in one transaction; answers what was parked.

        Raises PositionConflict.
        """
        return await self._applying.project(await self._connected(), arrivals, moves)

    async def close(self) -> None:
        """Drop the connection, at once."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def _connected(self) -> "Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            seconds = self._limits.database_seconds
            self._connection = await asyncpg.connect(
                self._database,
                timeout=seconds,
                command_timeout=seconds,
                server_settings=_CONNECTION_SETTINGS,
            )
        return self._connection
