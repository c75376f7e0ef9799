"""SQL of `reconcile`: finds events that only the log has, and appends them to the store."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from parley_events.cloudevents import Record
from parley_events.session import Event, MessageImported, MessageSubmitted, SessionErased
from parley_session.operations.log.reconcile_plan import (
    message_sequences_in,
    split_at_turn_changes,
)
from parley_session.operations.operator_acts import operator_act
from parley_session.storage.append.append_statement import recovery_statement
from parley_session.storage.audit.audit_store import append_records
from parley_session.storage.database import Connection
from parley_session.storage.session_index import DELETE_UNUSED_SEARCH_KEY

LoggedEvent = tuple[UUID, int, Record]
"""A record of the log, after its session id and sequence."""

_LOG_ONLY = """
SELECT logged.number, events.id AS stored_id
FROM unnest($1::uuid[], $2::int[], $3::uuid[]) WITH ORDINALITY
        AS logged (session_id, sequence, id, number)
    LEFT JOIN events USING (session_id, sequence)
WHERE events.id IS DISTINCT FROM logged.id OR events.id IS NULL
ORDER BY logged.number
"""

_MESSAGES = """
SELECT (data->>'message_id')::uuid AS message_id, sequence FROM events
WHERE session_id = $1 AND type = ANY($2) AND (data->>'message_id')::uuid = ANY($3)
"""


class ReconcileStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def version(self, session_id: UUID) -> int:
        """0 for an unknown session."""
        statement = "SELECT version FROM sessions WHERE id = $1"
        return await self._connection.fetchval(statement, session_id) or 0

    async def log_only(self, logged: Sequence[LoggedEvent]) -> list[tuple[int, UUID | None]]:
        """Indexes of the events that are not stored, with the id stored in their place, if any."""
        rows = await self._connection.fetch(
            _LOG_ONLY,
            [session_id for session_id, _, _ in logged],
            [sequence for _, sequence, _ in logged],
            [_event_id(record) for _, _, record in logged],
        )
        return [(row["number"] - 1, row["stored_id"]) for row in rows]

    async def message_sequences(
        self, session_id: UUID, message_ids: Collection[UUID]
    ) -> dict[UUID, int]:
        """The sequences of those messages that are stored."""
        if not message_ids:
            return {}
        rows = await self._connection.fetch(
            _MESSAGES,
            session_id,
            [MessageSubmitted.TYPE, MessageImported.TYPE],
            [*message_ids],
        )
        return {row["message_id"]: row["sequence"] for row in rows}

    async def record_reconciliation(self) -> None:
        """In the audit trail."""
        await append_records(self._connection, [operator_act("reconcile", "log.reconciled")])

    async def append(
        self,
        events: Sequence[Event],
        values: Sequence[bytes],
        version: int,
        message_sequences: Mapping[UUID, int],
    ) -> bool:
        """Append events that follow `version`, atomically; False if the session has changed."""
        sequences = dict(message_sequences)
        async with self._connection.transaction():
            for batch, batch_values in split_at_turn_changes(events, values):
                statement = recovery_statement(batch, batch_values, version, sequences)
                if not await self._connection.fetchval(statement.text, *statement.values):
                    # Only the first batch can fail: it locks the session's row for the others.
                    return False
                version = batch[-1].sequence
                sequences |= message_sequences_in(batch)
            if isinstance(events[-1].data, SessionErased):
                await self._delete_unused_search_key(events[-1].session_id)
        return True

    async def _delete_unused_search_key(self, session_id: UUID) -> None:
        """For the owner, if this was the owner's last session with a key."""
        owner = await self._connection.fetchrow(
            "SELECT tenant, owner FROM sessions WHERE id = $1", session_id
        )
        assert owner is not None
        await self._connection.execute(DELETE_UNUSED_SEARCH_KEY, *owner)


def _event_id(record: Record) -> UUID | None:
    try:
        return UUID(dict(record.headers)["ce_id"].decode())
    except (KeyError, ValueError):
        return None
