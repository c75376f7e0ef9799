"""Sums of costs: the events give the same ones, and old rows are deleted."""

import asyncio
from uuid import uuid4

from session_support.budgets import (
    COST,
    PRICE,
    USAGE,
    Budgeted,
    admit,
    claimed,
    end,
    opened,
    record,
    standing,
)
from session_support.client import ADA, EVE, ApiResponse
from session_support.process import Run
from session_support.service import Service

from parley_core.auth.principal import Principal
from parley_core.limits.rules import subject_of
from parley_core.storage.postgres_pool import Pool
from parley_session.operations import recount_costs
from parley_session.storage.turn_counts import TurnCounts


async def title(session: Service, turn: ApiResponse) -> None:
    path = f"/sessions/{turn.body['session_id']}/title"
    body = {"title": "T", "model": "demo", "usage": USAGE, "price": PRICE}
    assert (await session.end(path, body)).status == 200


async def test_titles_and_summaries_count_like_the_turn_before_them(budgeted: Budgeted) -> None:
    session = await budgeted("{cost_per_day: 100000}")
    turn = await opened(session)
    await end(session, turn)
    await title(session, turn)
    assert await standing(session) == {"cost_per_day": (2 * COST, 0)}
    path = f"/sessions/{turn.body['session_id']}/compaction"
    body = {"up_to_message_id": turn.body["message"]["id"], "summary": "S", "model": "demo"}
    response = await session.end(path, body | {"usage": USAGE, "price": PRICE})
    assert response.status == 200, response.body
    assert await standing(session) == {"cost_per_day": (3 * COST, 0)}


async def test_a_recount_of_the_events_gives_the_same_sums(
    budgeted: Budgeted, pool: Pool, run: Run, store_database: str
) -> None:
    session = await budgeted(
        "{cost_per_day: 1000000}, {model: demo, cost_per_month: 1000000},"
        "{per: tenant, cost_per_month: 2000000}"
    )

    async def used_by(who: Principal) -> None:
        for _ in range(3):
            await end(session, await opened(session, who), who)
        await record(session, (await admit(session, who)).body["id"], who)
        await record(session, str(uuid4()), who)  # Its reservation was lost.
        await title(session, await opened(session, who))
        running = await opened(session, who)
        await claimed(session, running, who)
        await session.call("DELETE", f"/sessions/{running.body['session_id']}", who=who)

    await asyncio.gather(*(used_by(who) for who in (ADA, EVE)))
    counted = await pool.fetch("SELECT * FROM daily_costs ORDER BY subject")
    assert len(counted) == 5
    by_subject = {row["subject"]: row["cost"] for row in counted}
    assert by_subject[subject_of("ada")] == by_subject[subject_of("ada", model="demo")]
    assert by_subject[subject_of(None)] == 2 * by_subject[subject_of("ada")]
    ended = await run("recount-costs --dry-run", store_database)
    assert (ended.code, ended.stdout[:1]) == (0, "0"), ended

    await pool.execute("DELETE FROM daily_costs WHERE subject = $1", subject_of("ada"))
    await pool.execute(
        "UPDATE daily_costs SET cost = cost + 7 WHERE subject = $1", subject_of("eve")
    )
    assert (await run("recount-costs --dry-run", store_database)).code == 1
    async with pool.acquire() as other:
        await other.execute("SELECT pg_advisory_lock($1)", recount_costs._LOCK_KEY)
        assert (await run("recount-costs", store_database)).code == 1
        await other.execute("SELECT pg_advisory_unlock($1)", recount_costs._LOCK_KEY)
    assert (await run("recount-costs", store_database)).code == 0
    assert await pool.fetch("SELECT * FROM daily_costs ORDER BY subject") == counted
    acts = "SELECT count(*) FROM audit_records WHERE action = 'costs.recounted'"
    assert await pool.fetchval(acts) == 1
    assert (await run("recount-costs", store_database)).code == 0
    assert await pool.fetchval(acts) == 1


async def test_old_costs_and_forgotten_reservations_are_deleted(
    budgeted: Budgeted, pool: Pool
) -> None:
    session = await budgeted("{cost_per_day: 1000000}")
    await end(session, await opened(session))
    forgotten, running = await opened(session), await opened(session)
    await pool.execute(
        "UPDATE turns SET ended_sequence = 9 WHERE id = $1::text::uuid", forgotten.body["id"]
    )
    await pool.execute("UPDATE daily_costs SET day = day - 63")
    await TurnCounts(pool).delete_old()
    assert await pool.fetchval("SELECT count(*) FROM daily_costs") == 0
    left = await pool.fetch("SELECT id::text FROM cost_reservations")
    assert [row["id"] for row in left] == [running.body["id"]]
