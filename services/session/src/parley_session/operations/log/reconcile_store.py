"""The event store as `reconcile` sees it: what it lacks of the log, and how it takes that back."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import asyncpg

from parley_events.cloudevents import Record
from parley_events.session import Event, MessageImported, MessageSubmitted, SessionErased
from parley_session.operations.log.reconcile_plan import idempotency_keys_in, one_turn_change_each
from parley_session.storage.append_statement import taking_back_statement
from parley_session.storage.session_index import FORGET_SEARCH_KEY

Connection = asyncpg.Connection
Placed = tuple[UUID, int, Record]
"""A record of the log, with its session and its sequence."""

_UNMATCHED = """
SELECT logged.place, events.id AS stored_id
FROM unnest($1::uuid[], $2::int[], $3::uuid[]) WITH ORDINALITY
        AS logged (session_id, sequence, id, place)
    LEFT JOIN events USING (session_id, sequence)
WHERE events.id IS DISTINCT FROM logged.id OR events.id IS NULL
ORDER BY logged.place
"""

_MESSAGES = """
SELECT (data->>'message_id')::uuid AS message_id, sequence FROM events
WHERE session_id = $1 AND type = ANY($2) AND (data->>'message_id')::uuid = ANY($3)
"""


class ReconcileStore:
    def __init__(self, connection: "Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def version(self, session_id: UUID) -> int:
        """0 for a session that is unknown."""
        statement = "SELECT version FROM sessions WHERE id = $1"
        return await self._connection.fetchval(statement, session_id) or 0

    async def unmatched(self, placed: Sequence[Placed]) -> list[tuple[int, UUID | None]]:
        """The places in the list whose event is not stored, and which one is stored instead."""
        rows = await self._connection.fetch(
            _UNMATCHED,
            [session_id for session_id, _, _ in placed],
            [sequence for _, sequence, _ in placed],
            [_id_in(record) for _, _, record in placed],
        )
        return [(row["place"] - 1, row["stored_id"]) for row in rows]

    async def messages(self, session_id: UUID, message_ids: Collection[UUID]) -> dict[UUID, int]:
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

    async def take_back(
        self,
        events: Sequence[Event],
        values: Sequence[bytes],
        version: int,
        messages: Mapping[UUID, int],
    ) -> bool:
        """Store what follows `version`, all or nothing; False when the session had moved."""
        asked = dict(messages)
        async with self._connection.transaction():
            for some, of_them in one_turn_change_each(events, values):
                statement = taking_back_statement(some, of_them, version, asked)
                if not await self._connection.fetchval(statement.text, *statement.values):
                    # The first one: it holds the session's row for those that follow.
                    return False
                version = some[-1].sequence
                asked |= idempotency_keys_in(some)
            if isinstance(events[-1].data, SessionErased):
                await self._forget_search_key(events[-1].session_id)
        return True

    async def _forget_search_key(self, session_id: UUID) -> None:
        """Of its owner, when this was the last session of theirs that could be read."""
        owner = await self._connection.fetchrow(
            "SELECT tenant, owner FROM sessions WHERE id = $1", session_id
        )
        assert owner is not None
        await self._connection.execute(FORGET_SEARCH_KEY, *owner)


def _id_in(record: Record) -> UUID | None:
    try:
        return UUID(dict(record.headers)["ce_id"].decode())
    except (KeyError, ValueError):
        return None
