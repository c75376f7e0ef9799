"""Turns in Postgres: the sequences of their events, their runners, and expired leases.

All times are the database's own: no process's clock decides about another's lease.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg

from parley_core.auth.principal import Principal
from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session.errors import TurnNotFound

# Keeps each statement short, even when many records expired during an outage.
_DELETE_BATCH = 5_000

# Of open turns: not claimed, or without a heartbeat, for $1 seconds. In sessions without a key no
# event can be appended.
_ABANDONED = """
SELECT session_id, id, (
    SELECT traceparent FROM events
    WHERE events.session_id = turns.session_id AND sequence = requested_sequence
)
FROM turns
WHERE
    ended_sequence IS NULL
    AND coalesce(claimed_at, opened_at) < now() - make_interval(secs => $1)
    AND NOT EXISTS (
        SELECT FROM runners WHERE runners.id = turns.runner
            AND runners.seen_at > now() - make_interval(secs => $1)
            AND turns.id = ANY (runners.turns)
    )
    AND EXISTS (
        SELECT FROM sessions WHERE sessions.id = turns.session_id AND wrapped_key IS NOT NULL
    )
    {more}
"""
_FIRST_ABANDONED = _ABANDONED.format(more="ORDER BY opened_at LIMIT $2")
_STILL_ABANDONED = _ABANDONED.format(more="AND id = $2")

StopReason = Literal["cancelled", "not_yours"]


@dataclass(frozen=True, slots=True)
class TurnRow:
    """`sequences` are those of the turn's message, its request and, once it ended, its end."""

    session_id: UUID
    sequences: Sequence[int]
    runner: UUID | None


class AbandonedTurn(NamedTuple):
    """`traceparent` is the trace in which the reply was requested."""

    session_id: UUID
    turn_id: UUID
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn with its session's version and key, read in the same statement."""

    row: TurnRow
    session_version: int
    wrapped_key: bytes | None


class TurnStore:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, turn_id: UUID) -> TurnRow:
        """Raises TurnNotFound."""
        row = await self._pool.fetchrow(
            """
            SELECT session_id, message_sequence, requested_sequence, ended_sequence, runner
            FROM turns WHERE id = $1
            """,
            turn_id,
        )
        if row is None:
            raise TurnNotFound
        return _turn_row(row)

    async def find_in_session(self, turn_id: UUID) -> StoredTurn:
        """Raises TurnNotFound."""
        row = await self._pool.fetchrow(
            """
            SELECT session_id, message_sequence, requested_sequence, ended_sequence, runner,
                sessions.version, wrapped_key
            FROM turns JOIN sessions ON sessions.id = session_id WHERE turns.id = $1
            """,
            turn_id,
        )
        if row is None:
            raise TurnNotFound
        return _stored_turn(row)

    async def claim(self, turn_id: UUID, runner: UUID, principal: Principal) -> StoredTurn | None:
        """Make `runner` the only runner of a turn in a session that `principal` owns.

        None if it has another runner, has ended, or belongs to somebody else.
        """
        row = await self._pool.fetchrow(
            """
            UPDATE turns SET runner = $2, claimed_at = coalesce(claimed_at, now())
            FROM sessions
            WHERE turns.id = $1 AND ended_sequence IS NULL AND (runner IS NULL OR runner = $2)
                AND sessions.id = turns.session_id AND tenant = $3 AND owner = $4
            RETURNING session_id, message_sequence, requested_sequence, ended_sequence, runner,
                sessions.version, wrapped_key
            """,
            turn_id,
            runner,
            principal.tenant,
            principal.user,
        )
        return _stored_turn(row) if row else None

    async def heartbeat(
        self, runner: UUID, turn_ids: Sequence[UUID], capacity: int
    ) -> dict[UUID, StopReason]:
        """Record the runner's turns and capacity; return the turns to stop, with the reason."""
        rows = await self._pool.fetch(
            """
            WITH seen AS (
                INSERT INTO runners (id, seen_at, turns, capacity) VALUES ($1, now(), $2, $3)
                ON CONFLICT (id) DO UPDATE SET seen_at = now(), turns = $2, capacity = $3
            )
            SELECT named.id, turns.cancel_requested
                AND turns.ended_sequence IS NULL AND turns.runner = $1 AS cancelled
            FROM unnest($2::uuid[]) AS named (id) LEFT JOIN turns USING (id)
            WHERE turns.cancel_requested OR turns.ended_sequence IS NOT NULL
                OR turns.runner IS DISTINCT FROM $1
            """,
            runner,
            turn_ids,
            capacity,
        )
        return {row["id"]: "cancelled" if row["cancelled"] else "not_yours" for row in rows}

    async def cancelled(self, runner: UUID) -> list[UUID]:
        """The open turns of this runner that were cancelled."""
        rows = await self._pool.fetch(
            """
            SELECT id FROM turns
            WHERE ended_sequence IS NULL AND runner = $1 AND cancel_requested
            """,
            runner,
        )
        return [row["id"] for row in rows]

    async def is_open(self, turn_id: UUID) -> bool:
        return bool(
            await self._pool.fetchrow(
                "SELECT id FROM turns WHERE id = $1 AND ended_sequence IS NULL", turn_id
            )
        )

    async def tick(self, lease_seconds: float) -> bool:
        """Record a tick of the sweeper; False while it must not end turns.

        After 3 s without a tick no heartbeat could be recorded either, so every runner gets a
        full lease before the sweeper ends turns again.
        """
        may_sweep = await self._pool.fetchval(
            """
            UPDATE sweeper SET last_tick = now(), quiet_until =
                CASE WHEN last_tick < now() - interval '3 seconds'
                THEN now() + make_interval(secs => $1) ELSE quiet_until END
            RETURNING now() >= quiet_until
            """,
            lease_seconds,
        )
        return bool(may_sweep)

    async def abandoned(self, lease_seconds: float, limit: int) -> list[AbandonedTurn]:
        """Open turns that were not claimed, or had no heartbeat, for a lease."""
        rows = await self._pool.fetch(_FIRST_ABANDONED, lease_seconds, limit)
        return [AbandonedTurn(*row) for row in rows]

    async def is_abandoned(self, turn_id: UUID, lease_seconds: float) -> bool:
        """Whether `abandoned` would still return the turn."""
        return bool(await self._pool.fetchrow(_STILL_ABANDONED, lease_seconds, turn_id))

    async def delete_expired(self, idempotency_hours: int) -> None:
        """Delete expired idempotency records, and runners without a heartbeat for an hour."""
        deleted = _DELETE_BATCH
        while deleted == _DELETE_BATCH:
            deleted = await self._pool.fetchval(
                """
                WITH deleted AS (
                    DELETE FROM remembered_requests WHERE request IN (
                        SELECT request FROM remembered_requests
                        WHERE created_at < now() - make_interval(hours => $1) LIMIT $2
                    ) RETURNING request
                )
                SELECT count(*) FROM deleted
                """,
                idempotency_hours,
                _DELETE_BATCH,
            )
        await self._pool.execute("DELETE FROM runners WHERE seen_at < now() - interval '1 hour'")


def _turn_row(row: asyncpg.Record) -> TurnRow:
    sequences = (row["message_sequence"], row["requested_sequence"], row["ended_sequence"])
    return TurnRow(row["session_id"], [each for each in sequences if each], row["runner"])


def _stored_turn(row: asyncpg.Record) -> StoredTurn:
    return StoredTurn(_turn_row(row), row["version"], row["wrapped_key"])
