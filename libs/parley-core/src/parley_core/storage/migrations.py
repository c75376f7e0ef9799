"""Numbered plain-SQL migrations (`0001_name.sql`, …), applied in order under an advisory lock."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TypeVar

import asyncpg

# Any constant does; every process that migrates a database of Parley takes the same lock.
_LOCK = 0x7061726C6579
_FILE_NAME = re.compile(r"(\d{4})_(.+)\.sql", re.ASCII)

_CONNECT_SECONDS = 10

Result = TypeVar("Result")

_CREATE_REGISTER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database cannot be brought to, or is not at, this version.

    Nothing is left of the migration that failed; those before it stay.
    """


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_in(folder: Traversable) -> list[Migration]:
    """The migrations of a package's folder, in order. Raises MigrationError on a gap."""
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = sorted(map(_migration, files), key=lambda migration: migration.number)
    if not found or [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("The migrations are not numbered 0001, 0002, … without a gap.")
    return found


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> list[Migration]:
    """Apply what is missing, each in its own transaction, and return it.

    Any number of processes may call this at once. Raises MigrationError.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_CREATE_REGISTER)
        pending = await _pending(connection, migrations)
        for migration in pending:
            await _apply(connection, migration)
        return pending
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def require_migrated(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> None:
    """Raise MigrationError unless the database is exactly at these migrations."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        raise MigrationError("The database is empty: run the `migrate` command first.")
    if await _pending(connection, migrations):
        raise MigrationError("The database is behind this version: run `migrate` first.")


def migrate_database(url: str, folder: Traversable) -> list[Migration]:
    """`migrate` the database at the URL, in a process that does no more.

    Raises MigrationError, or what asyncpg raises when it cannot connect.
    """
    return run_at(url, lambda connection: migrate(connection, migrations_in(folder)))


def require_database_migrated(url: str, folder: Traversable) -> None:
    """`require_migrated` for the database at the URL, before a process serves. Raises likewise."""
    run_at(url, lambda connection: require_migrated(connection, migrations_in(folder)))


def run_at(
    url: str, do: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[Result]]
) -> Result:
    """What `do` gives, over a connection of its own. Raises what asyncpg does without one."""
    return asyncio.run(_at(url, do))


async def _at(
    url: str, do: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[Result]]
) -> Result:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        return await do(connection)
    finally:
        await connection.close()


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(
            f"Migration {migration.number} ({migration.name}) failed: {error}."
        ) from error


async def _pending(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> list[Migration]:
    rows = await connection.fetch("SELECT number, sha256 FROM schema_migrations ORDER BY number")
    applied = {row["number"]: row["sha256"] for row in rows}
    if beyond := applied.keys() - {migration.number for migration in migrations}:
        raise MigrationError(
            f"The database has migration {max(beyond)}, which this version does not know: "
            "it is older than the database."
        )
    for migration in migrations:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise MigrationError(
                f"Migration {migration.number} ({migration.name}) was changed after it was applied."
            )
    return [migration for migration in migrations if migration.number not in applied]


def _migration(file: Traversable) -> Migration:
    form = _FILE_NAME.fullmatch(file.name)
    if form is None:
        raise MigrationError(f"{file.name} is not named like 0001_what_it_does.sql.")
    return Migration(int(form[1]), form[2], file.read_text("utf-8"))
