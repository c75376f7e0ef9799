"""Counts of turns in PostgreSQL, while others change them."""

import asyncio

from session_support.components import until_blocked

from parley_core.limits.rules import subject_of
from parley_core.storage.postgres_pool import Pool

COUNT = "SELECT count_turn('default', NULL, $1, '{10}', '{null}', '{null}', '{null}')"


async def test_a_turn_counts_if_old_counts_of_the_person_are_deleted_meanwhile(pool: Pool) -> None:
    subjects = [subject_of("ada")]
    await pool.execute(
        "INSERT INTO turn_counts (tenant, subject) VALUES ('default', $1)", *subjects
    )
    async with pool.acquire() as other, asyncio.TaskGroup() as tasks, other.transaction():
        await other.execute("SELECT FROM turn_counts FOR UPDATE")
        counted = tasks.create_task(pool.fetchval(COUNT, subjects))
        await until_blocked(pool)
        await other.execute("DELETE FROM turn_counts")
    assert counted.result() is None
    assert await pool.fetchval("SELECT minute_turns FROM turn_counts") == 1
