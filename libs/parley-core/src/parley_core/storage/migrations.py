"""Database migrations: numbered SQL files (`0001_name.sql`, …), applied in order under a lock."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TypeVar

import asyncpg

# Arbitrary advisory-lock key, shared by all migrating processes.
_LOCK = 0x7061726C6579
_FILE_NAME = re.compile(r"(\d{4})_(.+)\.sql", re.ASCII)

_CONNECT_SECONDS = 10

Result = TypeVar("Result")

_CREATE_SCHEMA_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database could not be migrated, or is not at the version of this process.

    A failed migration is rolled back; earlier ones stay applied.
    """


class MigrationsPending(MigrationError):
    """The database lacks migrations that this process has; the `migrate` command applies them."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Traversable) -> list[Migration]:
    """Load the migrations of a package folder, in order; raises MigrationError on a gap."""
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = sorted(map(_migration, files), key=lambda migration: migration.number)
    if not found or [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("Migration files must be numbered 0001, 0002, … without a gap.")
    return found


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> list[Migration]:
    """Apply pending migrations, each in its own transaction, and return them.

    Safe to call from several processes at once. Raises MigrationError.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_CREATE_SCHEMA_MIGRATIONS)
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
    """Raise MigrationError unless exactly these migrations are applied."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        raise MigrationsPending("The database is empty. Run the `migrate` command first.")
    if await _pending(connection, migrations):
        raise MigrationsPending(
            "The database has pending migrations. Run the `migrate` command first."
        )


def migrate_database(url: str, folder: Traversable) -> list[Migration]:
    """Connect and `migrate`; blocking, for commands. Raises MigrationError or asyncpg's errors."""
    return run_with_connection(url, lambda connection: migrate(connection, load_migrations(folder)))


def require_database_migrated(url: str, folder: Traversable) -> None:
    """Connect and `require_migrated`; blocking, before a process serves. Raises likewise."""
    run_with_connection(
        url, lambda connection: require_migrated(connection, load_migrations(folder))
    )


def run_with_connection(
    url: str, run: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[Result]]
) -> Result:
    """Run a coroutine function with a new connection; blocking. Raises asyncpg's connect errors."""
    return asyncio.run(run_in_connection(url, run))


async def run_in_connection(
    url: str, run: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[Result]]
) -> Result:
    """Run a coroutine function with a new connection. Raises asyncpg's connect errors."""
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        return await run(connection)
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
    if unknown := applied.keys() - {migration.number for migration in migrations}:
        raise MigrationError(
            f"The database has migration {max(unknown)}, which this version does not have. "
            "Deploy the version that migrated the database, or a newer one."
        )
    for migration in migrations:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise MigrationError(
                f"Migration {migration.number} ({migration.name}) was modified after being applied."
            )
    return [migration for migration in migrations if migration.number not in applied]


def _migration(file: Traversable) -> Migration:
    match = _FILE_NAME.fullmatch(file.name)
    if match is None:
        raise MigrationError(f"{file.name} is not named like 0001_create_events.sql.")
    return Migration(int(match[1]), match[2], file.read_text("utf-8"))
