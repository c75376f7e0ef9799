"""Migrations run once, in order and atomically; an unexpected database is an error."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from parley_core.storage.migrations import (
    Migration,
    MigrationError,
    load_migrations,
    migrate,
    require_migrated,
)

PEOPLE = Migration(1, "people", "CREATE TABLE people (name text); CREATE INDEX ON people (name);")
ADA = Migration(2, "ada", "INSERT INTO people VALUES ('ada');")
BROKEN = Migration(3, "broken", "INSERT INTO people VALUES ('eve'); SELECT no_such_function();")
UNREGISTERED = Migration(
    3,
    "unregistered",
    "INSERT INTO people VALUES ('eve'); ALTER TABLE schema_migrations ADD CHECK (number < 3);",
)
ERIN = Migration(3, "erin", "INSERT INTO people VALUES ('erin');")
PROCESS = """
import asyncio, sys
from pathlib import Path
import asyncpg
from parley_core.storage.migrations import migrate, load_migrations

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    print("connected", flush=True)
    sys.stdin.readline()
    applied = await migrate(connection, load_migrations(Path(sys.argv[2])))
    print([migration.number for migration in applied])
    await connection.close()

asyncio.run(main())
"""


@asynccontextmanager
async def connected(dsn: Any) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def names(connection: Any) -> Any:
    return [row["name"] for row in await connection.fetch("SELECT name FROM people")]


async def registered(connection: Any) -> Any:
    rows = await connection.fetch("SELECT number, name FROM schema_migrations ORDER BY number")
    return [tuple(row) for row in rows]


def written(folder: Any, **files: Any) -> Any:
    for name, sql in files.items():
        (folder / f"{name}.sql").write_text(sql)
    return folder


def test_migrations_are_loaded_in_numerical_order(tmp_path: Path) -> None:
    written(tmp_path, **{"0002_ada": ADA.sql, "0001_people": PEOPLE.sql})
    (tmp_path / "__init__.py").touch()

    assert load_migrations(tmp_path) == [PEOPLE, ADA]


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["0002_second"],
        ["0000_zeroth", "0001_first"],
        ["0001_first", "0003_third"],
        ["0001_first", "0001_also_first"],
    ],
)
def test_a_gap_or_a_duplicate_number_is_an_error(tmp_path: Path, files: Any) -> None:
    with pytest.raises(MigrationError, match="without a gap"):
        load_migrations(written(tmp_path, **dict.fromkeys(files, "")))


@pytest.mark.parametrize("name", ["first", "1_first", "0001first", "0001_", "00011_first"])
def test_the_error_of_a_misnamed_file_names_it(tmp_path: Path, name: Any) -> None:
    with pytest.raises(MigrationError, match=f"^{name}.sql "):
        load_migrations(written(tmp_path, **{name: ""}))


async def test_migrations_are_applied_to_an_empty_database_in_order(database: str) -> None:
    async with connected(database) as connection:
        assert await migrate(connection, [PEOPLE, ADA]) == [PEOPLE, ADA]

        assert await names(connection) == ["ada"]
        assert await registered(connection) == [(1, "people"), (2, "ada")]


async def test_applied_migrations_are_not_applied_again(database: str) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE, ADA])

        assert await migrate(connection, [PEOPLE, ADA]) == []
        assert await migrate(connection, [PEOPLE, ADA, ERIN]) == [ERIN]

        assert await names(connection) == ["ada", "erin"]


async def test_concurrent_processes_apply_each_migration_once(
    database: str, tmp_path: Path
) -> None:
    slow = f"SELECT pg_sleep(0.3); {PEOPLE.sql}"
    written(tmp_path, **{"0001_people": slow, "0002_ada": ADA.sql})
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROCESS,
            database,
            tmp_path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"connected\n"

    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
    outputs = [(await process.communicate())[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(outputs) == [b"[1, 2]\n", b"[]\n"]
    async with connected(database) as connection:
        assert await names(connection) == ["ada"]


@pytest.mark.parametrize("failing", [BROKEN, UNREGISTERED])
async def test_a_failed_migration_is_rolled_back_and_earlier_ones_stay(
    database: str, failing: Any
) -> None:
    async with connected(database) as connection:
        with pytest.raises(MigrationError, match=rf"Migration 3 \({failing.name}\) failed: "):
            await migrate(connection, [PEOPLE, ADA, failing])

        assert await names(connection) == ["ada"]
        assert await registered(connection) == [(1, "people"), (2, "ada")]


async def test_a_corrected_migration_is_applied_after_a_failure(database: str) -> None:
    async with connected(database) as failed, connected(database) as other:
        with pytest.raises(MigrationError):
            await migrate(failed, [PEOPLE, ADA, BROKEN])

        applied = await asyncio.wait_for(migrate(other, [PEOPLE, ADA, ERIN]), 10)

        assert applied == [ERIN]


async def test_a_connection_lost_during_a_migration_is_reported_as_its_failure(
    database: str,
) -> None:
    cut_off = Migration(1, "cut_off", "SELECT pg_terminate_backend(pg_backend_pid());")
    async with connected(database) as connection:
        with pytest.raises(MigrationError, match=r"Migration 1 \(cut_off\) failed"):
            await migrate(connection, [cut_off])


@pytest.mark.parametrize("check", [migrate, require_migrated])
async def test_an_applied_migration_that_was_modified_is_an_error(
    database: str, check: Any
) -> None:
    changed = Migration(1, "people", PEOPLE.sql + " ")
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE])

        with pytest.raises(MigrationError, match=r"Migration 1 \(people\) was modified"):
            await check(connection, [changed, ADA])

        assert await registered(connection) == [(1, "people")]


@pytest.mark.parametrize("check", [migrate, require_migrated])
async def test_a_database_with_unknown_migrations_is_an_error(database: str, check: Any) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE, ADA])

        with pytest.raises(MigrationError, match="has migration 2, with which this version"):
            await check(connection, [PEOPLE])


async def test_a_fully_migrated_database_passes_the_check(database: str) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE, ADA])

        await require_migrated(connection, [PEOPLE, ADA])


async def test_an_empty_database_fails_the_check_and_stays_empty(database: str) -> None:
    async with connected(database) as connection:
        with pytest.raises(MigrationError, match="database is empty"):
            await require_migrated(connection, [PEOPLE])

        assert await connection.fetchval("SELECT to_regclass('schema_migrations')") is None


async def test_a_database_with_pending_migrations_fails_the_check(database: str) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE])

        with pytest.raises(MigrationError, match="pending migrations"):
            await require_migrated(connection, [PEOPLE, ADA])


EXPAND = Migration(3, "nicknames", "-- expand\nALTER TABLE people ADD COLUMN nickname text;")
CONTRACT = Migration(4, "names", "-- contract 3\nALTER TABLE people DROP COLUMN name;")


async def test_a_version_works_with_a_database_that_later_migrations_only_extended(
    database: str,
) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE, ADA, EXPAND])
        await require_migrated(connection, [PEOPLE, ADA])
        # A rollback runs the older version's migrations again.
        assert await migrate(connection, [PEOPLE, ADA]) == []
        await migrate(connection, [PEOPLE, ADA, EXPAND, CONTRACT])
        await require_migrated(connection, [PEOPLE, ADA, EXPAND])
        with pytest.raises(MigrationError, match="a version with migration 3 or later"):
            await require_migrated(connection, [PEOPLE, ADA])


async def test_a_migration_outside_of_a_transaction_can_be_repeated(database: str) -> None:
    sql = (
        "-- expand concurrently\n"
        "DROP INDEX CONCURRENTLY IF EXISTS people_by_name;\n"
        "CREATE INDEX CONCURRENTLY people_by_name ON people (name);\n"
    )
    index = Migration(2, "people_by_name", sql)
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE])
        # As if the process had been killed before the registration.
        await connection.execute("CREATE INDEX people_by_name ON people (name)")
        assert await migrate(connection, [PEOPLE, index]) == [index]
        await require_migrated(connection, [PEOPLE, index])


async def test_a_migration_waits_briefly_for_a_lock_and_tries_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_core.storage.migrations._LOCK_TIMEOUT_SECONDS", 0.05)
    async with connected(database) as connection, connected(database) as reader:
        await migrate(connection, [PEOPLE, ADA])
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT * FROM people")
        migrating = asyncio.create_task(migrate(connection, [PEOPLE, ADA, EXPAND]))
        await asyncio.wait({migrating}, timeout=0.3)
        assert not migrating.done()
        # Others are not blocked behind the migration that waits.
        async with connected(database) as other:
            assert await names(other) == ["ada"]
        await transaction.rollback()
        assert await migrating == [EXPAND]


async def test_a_database_of_before_the_register_of_oldest_readers_is_migrated(
    database: str,
) -> None:
    async with connected(database) as connection:
        await migrate(connection, [PEOPLE])
        await connection.execute("ALTER TABLE schema_migrations DROP COLUMN oldest_reader")
        await require_migrated(connection, [PEOPLE])
        assert await migrate(connection, [PEOPLE, ADA]) == [ADA]
