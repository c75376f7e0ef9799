"""The pool on a real Postgres: every wait of it ends."""

import asyncio

import pytest

from parley_core.storage.postgres_pool import open_pool


async def test_whoever_waits_for_a_free_connection_does_not_wait_for_ever(database):
    async with open_pool(
        database, max_connections=1, timeout_seconds=0.2, application_name="test"
    ) as pool:
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5) as outer:
                    await pool.fetchval("SELECT 1")
            assert not outer.expired()
        assert await pool.fetchval("SELECT 1") == 1


async def test_a_statement_that_takes_too_long_is_given_up(database):
    async with open_pool(
        database, max_connections=1, timeout_seconds=0.2, application_name="test"
    ) as pool:
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT pg_sleep(30)")
        assert await pool.fetchval("SELECT 1") == 1


async def test_its_connections_bear_its_name_and_are_no_more_than_given(database):
    async with open_pool(
        database, max_connections=3, timeout_seconds=5, application_name="test-name"
    ) as pool:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-name'"
        counts = await asyncio.gather(*(pool.fetchval(count) for _ in range(20)))
        assert 1 <= max(counts) <= 3
