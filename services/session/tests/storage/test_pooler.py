"""Requests through PgBouncer in transaction mode, where two server connections serve all."""

import asyncio
from typing import Any
from uuid import uuid4

from pgbouncer import pgbouncer
from session_support.service import Service

from parley_core.storage.postgres_pool import Pool

CONVERSATIONS, TURNS = 20, 3
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-session'"


async def converse(session: Service) -> dict[str, Any]:
    """Complete some turns, and return the last."""
    session_id = (await session.start())["id"]
    for _ in range(TURNS):
        turn_id, runner = (await session.submit(session_id))["id"], str(uuid4())
        await session.claim(turn_id, runner)
        await session.complete(turn_id, runner)
    return await session.turn(turn_id)


async def test_turns_complete_through_a_pooler_in_transaction_mode(
    serve: Any, runtime_database: str, pool: Pool
) -> None:
    async with pgbouncer(runtime_database) as pooler_url:
        session = await serve(session_database_pooler_url=pooler_url)
        turns = await asyncio.gather(*(converse(session) for _ in range(CONVERSATIONS)))
        assert {turn["status"] for turn in turns} == {"completed"}
        assert {turn["version"] for turn in turns} == {1 + 3 * TURNS}
        assert await pool.fetchval(BACKENDS) in (1, 2)
