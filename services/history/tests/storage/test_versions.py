"""Read-model versions side by side; every transaction determines the active one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from history_testing.read_model import ReadModelTables, folded, project
from history_testing.stories import chat

from parley_history.domain.incoming_record import decode_incoming
from parley_history.operations.rebuild.swap import projectors_paused
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.database import Connection
from parley_history.storage.migrations import migrate_history
from parley_history.storage.positions import PositionConflict, PositionUpdate
from parley_history.storage.versions.schema import activate, active_version, add_keys, create_tables
from parley_testing.eventually import eventually


async def make_version(connection: Connection, version: int) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO read_models (version) VALUES ($1)", version)
        await create_tables(connection, version)
        await add_keys(connection)


@pytest.fixture
async def other(tables: ReadModelTables) -> AsyncIterator[Any]:
    """A second connection to the read model."""
    connection = await asyncpg.connect(tables.dsn)
    yield connection
    connection.terminate()


async def path(connection: Connection) -> Any:
    return await connection.fetchval("SELECT current_setting('search_path')")


async def test_two_migrations_at_once_make_one_version(database: str) -> None:
    async def migrated() -> Any:
        connection = await asyncpg.connect(database)
        await migrate_history(connection)
        versions = await connection.fetch("SELECT version FROM active_read_model")
        await connection.close()
        return [row["version"] for row in versions]

    assert [*await asyncio.gather(migrated(), migrated(), migrated())] == [[1]] * 3


@pytest.mark.parametrize("how", ["the whole lock", "the row alone"])
async def test_a_transaction_that_waits_for_a_swap_enters_the_new_version(
    tables: ReadModelTables, other: Connection, how: Any
) -> None:
    await make_version(tables.connection, 2)

    async def entered() -> Any:
        async with active_version(other):
            return await path(other)

    assert await entered() == "read_model_1"
    async with asyncio.TaskGroup() as group, tables.connection.transaction():
        if how == "the row alone":
            await tables.connection.execute("SELECT FROM active_read_model FOR UPDATE")
        else:
            await tables.connection.execute("LOCK active_read_model IN EXCLUSIVE MODE")
        waiting = group.create_task(entered())
        await eventually(lambda: waits_for_a_lock(tables))
        await activate(tables.connection, 2)
    assert waiting.result() == "read_model_2"


async def waits_for_a_lock(tables: ReadModelTables, count: Any = 1) -> Any:
    return count == await tables.connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


async def test_a_swap_waits_for_open_transactions_and_later_ones_wait_for_the_swap(
    tables: ReadModelTables, other: Connection
) -> None:
    third = await asyncpg.connect(tables.dsn)
    written = []

    async def swapping() -> None:
        async with projectors_paused(third):
            written.append("swap")

    async def writing() -> None:
        async with active_version(tables.connection):
            written.append("later")

    async with asyncio.TaskGroup() as group, active_version(other):
        group.create_task(swapping())
        await eventually(lambda: waits_for_a_lock(tables))
        # A writer that shared the lock with the first one would starve the swap.
        group.create_task(writing())
        await asyncio.wait([asyncio.create_task(path(other))])
        assert written == []
    assert written == ["swap", "later"]
    third.terminate()


async def test_a_projector_continues_in_the_version_that_was_swapped_in(
    tables: ReadModelTables, read_model: ActiveReadModel
) -> None:
    first, second = chat(2), chat(2)
    await project(read_model, first.records)
    await make_version(tables.connection, 2)
    async with tables.connection.transaction():
        await activate(tables.connection, 2)
    # The connection and its prepared statements date from before the swap.
    assert await project(read_model, second.records) == []
    assert await tables.rows() == folded(first)
    await tables.enter(2)
    assert await tables.rows() == folded(second)


async def test_a_position_of_the_previous_version_conflicts_after_a_swap(
    tables: ReadModelTables, read_model: ActiveReadModel
) -> None:
    story = chat(1)
    await project(read_model, story.records[:3])
    await make_version(tables.connection, 2)
    async with tables.connection.transaction():
        await activate(tables.connection, 2)
        await tables.connection.execute("INSERT INTO read_model_2.positions VALUES (3, 2)")
    with pytest.raises(PositionConflict):
        await read_model.apply([decode_incoming(3, 3, story.records[3])], [PositionUpdate(3, 3, 4)])
    assert await read_model.positions_of([3]) == {3: 2}


async def test_readers_see_the_active_version_through_the_views(
    tables: ReadModelTables, read_model: ActiveReadModel, other: Connection
) -> None:
    first, second = chat(1), chat(2)
    await project(read_model, first.records)
    read = "SELECT count(*) FROM sessions JOIN messages ON sessions.id = messages.session_id"
    assert await other.fetchval(read) == 2
    await make_version(tables.connection, 2)
    async with tables.connection.transaction():
        await activate(tables.connection, 2)
    # The same prepared statement.
    assert await other.fetchval(read) == 0
    await project(read_model, second.records)
    assert await other.fetchval(read) == 4
