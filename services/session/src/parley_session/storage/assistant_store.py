"""Event store of assistants: one statement per append, fenced by the last event's sequence."""

import json
from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg

from parley_core.storage.postgres_pool import Pool
from parley_core.tracing.spans import current_traceparent
from parley_events.assistant import (
    ASSISTANT_DATA_BY_TYPE,
    AssistantEvent,
    assistant_stream,
)
from parley_events.audit import AuditData
from parley_events.cloudevents import encode_data
from parley_events.session import UnknownEvent
from parley_session.domain.assistant.state import (
    DefinedAssistant,
    evolve_assistant,
    fold_assistant,
)
from parley_session.storage.database import Connection

# Arbitrary advisory-lock key, shared by all processes that seed assistants.
_SEEDING_LOCK_KEY = 0x73656564

# A definition is complete, so earlier events are not needed.
_LOAD = """
SELECT e.* FROM assistants a JOIN assistant_events e USING (stream_id)
WHERE a.stream_id = $1 AND e.sequence >= a.version ORDER BY e.sequence
"""

_APPEND = """
WITH advanced AS (
    INSERT INTO assistants (stream_id, tenant, id, sequence, version, is_default, retired)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (stream_id) DO UPDATE SET sequence = $4, version = $5, is_default = $6, retired = $7
        WHERE assistants.sequence = $4 - 1
    RETURNING stream_id
), stored AS (
    INSERT INTO assistant_events (stream_id, sequence, id, type, time, data, traceparent)
    SELECT $1, $4, $8, $9, $10, $11::json, $12 FROM advanced
), queued AS (
    INSERT INTO assistant_outbox (stream_id, sequence, bytes)
    SELECT $1, $4, octet_length($11::text) FROM advanced
), audited AS (
    SELECT append_audit_record($13, $12) AS sequence FROM advanced
)
SELECT EXISTS (SELECT FROM advanced), (SELECT count(sequence) FROM audited)
"""


class AssistantStore:
    def __init__(
        self,
        connection: Pool | Connection,
        on_appended: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_appended` is called after each commit of an event."""
        self._connection, self._on_appended = connection, on_appended

    async def load(self, tenant: str | None, assistant_id: str) -> DefinedAssistant | None:
        """The tenant's own assistant with that id; without a tenant, the shared one."""
        rows = await self._connection.fetch(_LOAD, assistant_stream(tenant, assistant_id))
        return fold_assistant(_event_of(row) for row in rows)

    async def shared_ids(self) -> Sequence[str]:
        """Ids of the shared assistants that are not retired."""
        rows = await self._connection.fetch(
            "SELECT id FROM assistants WHERE tenant IS NULL AND NOT retired ORDER BY place"
        )
        return [row["id"] for row in rows]

    async def count(self, tenant: str) -> int:
        """How many assistants of its own the tenant has, without retired ones."""
        count: int = await self._connection.fetchval(
            "SELECT count(*) FROM assistants WHERE tenant = $1 AND NOT retired", tenant
        )
        return count

    async def lock_for_seeding(self) -> None:
        """Wait for other processes that seed; holds until the end of the transaction."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", _SEEDING_LOCK_KEY)

    async def append(
        self, assistant: DefinedAssistant | None, event: AssistantEvent, audited: AuditData
    ) -> DefinedAssistant | None:
        """The assistant after the event; None if another append was committed first."""
        after = evolve_assistant(assistant, event)
        stored = await self._connection.fetchval(
            _APPEND,
            event.stream_id,
            after.tenant,
            after.id,
            after.sequence,
            after.version,
            after.definition.default,
            after.retired,
            event.id,
            event.type,
            event.time,
            encode_data(event.data).decode(),
            current_traceparent(),
            encode_data(audited).decode(),
        )
        if not stored:
            return None
        self._on_appended()
        return after


def _event_of(row: asyncpg.Record) -> AssistantEvent:
    known = ASSISTANT_DATA_BY_TYPE.get(row["type"])
    stream_id: UUID = row["stream_id"]
    return AssistantEvent(
        id=row["id"],
        stream_id=stream_id,
        sequence=row["sequence"],
        time=row["time"],
        data=known.model_validate_json(row["data"])
        if known
        else UnknownEvent(type=row["type"], data=json.loads(row["data"])),
    )
