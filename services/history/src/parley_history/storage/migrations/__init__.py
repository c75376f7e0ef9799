"""Migrations of history's database, as numbered SQL files."""

from importlib.resources import files

from parley_core.storage.migrations import (
    Migration,
    MigrationsPending,
    load_migrations,
    migrate,
    require_migrated,
)
from parley_history.storage.database import Connection
from parley_history.storage.versions.schema import create_first_version, has_active_version

MIGRATIONS = files(__name__)


async def migrate_history(connection: Connection) -> list[Migration]:
    """Apply and return the pending migrations; create the first read-model version if missing.

    Safe to call from several processes at once. Raises MigrationError.
    """
    applied = await migrate(connection, load_migrations(MIGRATIONS))
    await create_first_version(connection)
    return applied


async def require_migrated_history(connection: Connection) -> None:
    """Raise MigrationError unless all migrations are applied and a version is active."""
    await require_migrated(connection, load_migrations(MIGRATIONS))
    if not await has_active_version(connection):
        raise MigrationsPending(
            "The database has no read model yet. Run the `migrate` command first."
        )
