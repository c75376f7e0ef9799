"""The sweeper ends a turn only if it is abandoned at the commit of its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID, uuid4

import pytest
from session_support.client import ADA
from session_support.components import LEASE, components_on, until_blocked
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_session.storage.turn_store import AbandonedTurn, TurnStore

Revive = Callable[[TurnStore, UUID], Awaitable[object]]
RUNNER = uuid4()


async def claim(turns: TurnStore, turn_id: UUID) -> object:
    return await turns.claim(turn_id, RUNNER, ADA)


async def heartbeat(turns: TurnStore, turn_id: UUID) -> object:
    return await turns.heartbeat(RUNNER, [turn_id], 1)


async def abandoned(session: Service, pool: Pool, revive: Revive, *, known: bool) -> UUID:
    """A turn without a claim or a heartbeat for a lease; `known` runners sent some before."""
    turn_id = UUID((await session.open_turn())["id"])
    turns = TurnStore(pool)
    if revive is heartbeat:
        await turns.claim(turn_id, RUNNER, ADA)
        if known:
            await turns.heartbeat(RUNNER, [turn_id], 1)
    await pool.execute(
        "UPDATE turns SET opened_at = opened_at - $1 * interval '1 s',"
        " claimed_at = claimed_at - $1 * interval '1 s'",
        LEASE + 1,
    )
    await pool.execute("UPDATE runners SET seen_at = seen_at - $1 * interval '1 s'", LEASE + 1)
    return turn_id


CASES = pytest.mark.parametrize(
    ("revive", "known"),
    [(claim, False), (heartbeat, True), (heartbeat, False)],
    ids=["claim", "heartbeat", "first heartbeat"],
)


@CASES
@pytest.mark.parametrize("reading", ["abandoned", "is_abandoned"])
async def test_a_turn_revived_after_the_sweeper_read_it_is_not_ended(
    session: Service, pool: Pool, revive: Revive, known: bool, reading: str
) -> None:
    turn_id = await abandoned(session, pool, revive, known=known)

    class RevivedOnceRead(TurnStore):
        async def abandoned(self, lease_seconds: float, limit: int) -> list[AbandonedTurn]:
            found = await super().abandoned(lease_seconds, limit)
            if reading == "abandoned":
                await revive(TurnStore(pool), turn_id)
            return found

        async def is_abandoned(self, turn_id: UUID, lease_seconds: float) -> bool:
            found = await super().is_abandoned(turn_id, lease_seconds)
            if reading == "is_abandoned":
                await revive(TurnStore(pool), turn_id)
            return found

    await components_on(pool, RevivedOnceRead(pool)).sweeper().sweep()
    assert (await session.turn(str(turn_id)))["status"] == "running"


@CASES
async def test_a_turn_revived_during_the_append_of_its_end_is_not_ended(
    session: Service, pool: Pool, revive: Revive, known: bool
) -> None:
    turn_id = await abandoned(session, pool, revive, known=known)
    async with pool.acquire() as connection, connection.transaction():
        await revive(TurnStore(cast("Pool", connection)), turn_id)
        sweeping = asyncio.create_task(components_on(pool).sweeper().sweep())
        await until_blocked(pool)
    await sweeping
    assert (await session.turn(str(turn_id)))["status"] == "running"
    # Nothing was left behind that keeps the turn open.
    await pool.execute("UPDATE turns SET claimed_at = claimed_at - interval '1 day'")
    await pool.execute("UPDATE runners SET seen_at = seen_at - interval '1 day'")
    await components_on(pool).sweeper().sweep()
    assert (await session.turn(str(turn_id)))["status"] == "failed"


async def test_a_claim_that_waits_for_the_sweeper_learns_how_the_turn_ended(
    session: Service, pool: Pool
) -> None:
    turn_id = await abandoned(session, pool, claim, known=False)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        # Blocks the append, once it has locked the turn, until this row is rolled back.
        await connection.execute(
            """
            INSERT INTO events (session_id, sequence, id, type, time, data)
            SELECT session_id, sequence + 1, gen_random_uuid(), type, time, data
            FROM events ORDER BY sequence DESC LIMIT 1
            """
        )
        sweeping = asyncio.create_task(components_on(pool).sweeper().sweep())
        await until_blocked(pool)
        claiming = asyncio.create_task(session.claim(str(turn_id), str(RUNNER)))
        await until_blocked(pool, 2)
        await transaction.rollback()
    await sweeping
    claimed = await claiming
    assert not claimed["claimed"]
    assert claimed["turn"]["error"]["code"] == "interrupted"
