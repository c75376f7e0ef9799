"""Active read-model version as the projector writes it, over one dedicated connection."""

from collections.abc import Mapping, Sequence

from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_history.domain.batch import DeadLetter
from parley_history.domain.incoming_record import IncomingRecord
from parley_history.projection.batch_applier import BatchApplier, LiveTables
from parley_history.storage.database import (
    Connection,
    DatabaseSettings,
    connect,
)
from parley_history.storage.positions import PositionUpdate
from parley_history.storage.versions.schema import active_version

# A gap of this length in one session is a defect that needs an operator; waiting longer would only
# let the table of deferred events grow.
MAX_DEFERRED_EVENTS = 100

_SERVER_SETTINGS = {**FAST_KEEPALIVES, "idle_in_transaction_session_timeout": "10s"}


class ActiveReadModel:
    """Connects on first use. The caller must call `close` after an error."""

    def __init__(self, database: DatabaseSettings, max_deferred: int = MAX_DEFERRED_EVENTS) -> None:
        self._database = database
        self._applier = BatchApplier(active_version, LiveTables(), max_deferred)
        self._connection: Connection | None = None

    async def positions_of(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Return the offset of the next record of each partition; 0 for a new one."""
        return await self._applier.positions_of(await self._connected(), partitions)

    async def apply(
        self, records: Sequence[IncomingRecord], updates: Sequence[PositionUpdate]
    ) -> Sequence[DeadLetter]:
        """Apply the records and update the positions in one transaction.

        Returns the records that parked a session. Raises PositionConflict.
        """
        return await self._applier.apply(await self._connected(), records, updates)

    async def close(self) -> None:
        """Drop the connection immediately."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._database,
                "parley-projector",
                statement_timeout_seconds=self._database.timeout_seconds,
                server_settings=_SERVER_SETTINGS,
            )
        return self._connection
