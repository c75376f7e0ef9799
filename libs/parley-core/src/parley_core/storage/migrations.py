"""Database migrations: numbered SQL files (`0001_name.sql`, …), applied in order under a lock.

The first line of a file says with which older versions of Parley its database still works:

- `-- expand`: with those that work before it; it only adds.
- `-- contract 7`: with those that have migration 7, its `oldest_reader`; it removes or changes what
  older ones read.

Without such a line, only versions that have the migration itself work. `-- expand concurrently` is
not run in a transaction, which CREATE INDEX CONCURRENTLY requires: it must be repeatable.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TypeVar

import asyncpg

from parley_core.runtime.backoff import backoff_delay

LOCK_KEY = 0x7061726C6579
"""Arbitrary advisory-lock key, shared by all migrating processes."""

_FILE_NAME = re.compile(r"(\d{4})_(.+)\.sql", re.ASCII)

_MARKER = re.compile(r"-- (?:(expand)( concurrently)?|contract (\d+))\s*\n", re.ASCII)

_CONNECT_SECONDS = 10
# A statement that waits for a lock makes all later ones wait for it too: give up early, try again.
_LOCK_TIMEOUT_SECONDS: float = 5
_LOCK_ATTEMPTS = 20

Result = TypeVar("Result")

_CREATE_SCHEMA_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
-- The lowest migration that a version must have to work with the database; null: this one.
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS oldest_reader int;
"""
# Of a database that no version with the column has migrated yet, too.
_READ_APPLIED = """
SELECT number, sha256,
    coalesce((to_jsonb(applied) ->> 'oldest_reader')::int, number) AS oldest_reader
FROM schema_migrations AS applied ORDER BY number
"""
_HAS_LATER = "SELECT EXISTS (SELECT FROM schema_migrations WHERE number > $1)"
_REGISTER = """
INSERT INTO schema_migrations (number, name, sha256, oldest_reader) VALUES ($1, $2, $3, $4)
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
    def oldest_reader(self) -> int:
        """The lowest migration that a version must have to work with the migrated database."""
        marker = _MARKER.match(self.sql)
        if marker is None:
            return self.number
        return 0 if marker[1] else int(marker[3])

    @property
    def is_transactional(self) -> bool:
        marker = _MARKER.match(self.sql)
        return marker is None or not marker[2]

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
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    try:
        await connection.execute(_CREATE_SCHEMA_MIGRATIONS)
        pending = await _pending(connection, migrations)
        for migration in pending:
            await _apply(connection, migration)
        return pending
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def require_migrated(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> None:
    """Raise MigrationError unless these migrations are applied.

    Later ones may be applied too, as long as a version with these works with them.
    """
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        raise MigrationsPending("The database is empty. Run the `migrate` command first.")
    if await _pending(connection, migrations):
        raise MigrationsPending(
            "The database has pending migrations. Run the `migrate` command first."
        )


async def has_later_migrations(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> bool:
    """Whether a later version, which may still run, has migrated the database."""
    newest = max(migration.number for migration in migrations)
    return bool(await connection.fetchval(_HAS_LATER, newest))


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
        for attempt in range(1, _LOCK_ATTEMPTS + 1):
            try:
                await _apply_once(connection, migration)
                return
            except asyncpg.LockNotAvailableError:
                if attempt == _LOCK_ATTEMPTS:
                    raise
                await asyncio.sleep(backoff_delay(attempt, 0.5, 5))
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(
            f"Migration {migration.number} ({migration.name}) failed: {error}."
        ) from error


async def _apply_once(
    connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration
) -> None:
    register = (migration.number, migration.name, migration.sha256, migration.oldest_reader)
    if migration.is_transactional:
        async with connection.transaction():
            await connection.execute(
                f"SET LOCAL lock_timeout = '{round(1000 * _LOCK_TIMEOUT_SECONDS)}ms'"
            )
            await connection.execute(migration.sql)
            await connection.execute(_REGISTER, *register)
        return
    # Sent together, the statements would be one transaction.
    for statement in migration.sql.split(";\n"):
        if statement.strip():
            await connection.execute(statement)
    await connection.execute(_REGISTER, *register)


async def _pending(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: Sequence[Migration]
) -> list[Migration]:
    rows = await connection.fetch(_READ_APPLIED)
    applied = {row["number"]: row["sha256"] for row in rows}
    newest = max(migration.number for migration in migrations)
    for row in rows:
        if row["number"] > newest and row["oldest_reader"] > newest:
            raise MigrationError(
                f"The database has migration {row['number']}, with which this version does not "
                f"work: that takes a version with migration {row['oldest_reader']} or later."
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
