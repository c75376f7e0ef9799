"""The connection pool bounds every wait, on a real Postgres."""

import asyncio

import pytest

from parley_core.storage.postgres_pool import open_pool


async def test_waiting_for_a_free_connection_times_out(database: str) -> None:
    async with open_pool(
        database, max_connections=1, timeout_seconds=0.2, application_name="test"
    ) as pool:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5) as outer:
                    await pool.fetchval("SELECT 1")
            assert not outer.expired()
        assert await pool.fetchval("SELECT 1") == 1


async def test_a_slow_statement_times_out(database: str) -> None:
    async with open_pool(
        database, max_connections=1, timeout_seconds=0.2, application_name="test"
    ) as pool:
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT pg_sleep(30)")
        assert await pool.fetchval("SELECT 1") == 1


async def test_connections_have_the_application_name_and_do_not_exceed_the_maximum(
    database: str,
) -> None:
    async with open_pool(
        database, max_connections=3, timeout_seconds=5, application_name="test-name"
    ) as pool:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-name'"
        counts = await asyncio.gather(*(pool.fetchval(count) for _ in range(20)))
        assert 1 <= max(counts) <= 3
