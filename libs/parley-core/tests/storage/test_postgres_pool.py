"""The connection pool bounds every wait, on a real Postgres."""

import asyncio

import asyncpg
import pytest

from parley_core.storage.database_urls import DatabaseUrls
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_testing.eventually import eventually
from parley_testing.faulty_proxy import FaultyProxy


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


async def test_new_connections_go_to_the_url_that_replaced_the_first(database: str) -> None:
    async with FaultyProxy.to(database) as first, FaultyProxy.to(database) as second:
        urls = DatabaseUrls(url=first.database)
        async with open_pool(
            lambda: urls.current_pool_url,
            max_connections=1,
            timeout_seconds=10,
            application_name="test",
        ) as pool:
            assert await pool.fetchval("SELECT 1") == 1
            urls.replace(
                DatabaseUrls(url="postgresql://127.0.0.1:1/none", pooler_url=second.database)
            )
            assert await pool.fetchval("SELECT 1") == 1
            first.close()
            await eventually(lambda: answers(pool))
            assert urls.current_url == "postgresql://127.0.0.1:1/none"


async def answers(pool: Pool) -> bool:
    try:
        return bool(await pool.fetchval("SELECT 1"))
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
        return False
