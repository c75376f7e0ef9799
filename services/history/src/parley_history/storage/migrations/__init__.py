"""Migrations of history's database, as numbered SQL files."""

from importlib.resources import files

from parley_core.storage.migrations import Migration, load_migrations, migrate
from parley_history.storage.database import Connection
from parley_history.storage.versions.schema import create_first_version

MIGRATIONS = files(__name__)


async def migrate_history(connection: Connection) -> list[Migration]:
    """Apply and return the pending migrations; create the first read-model version if missing.

    Safe to call from several processes at once. Raises MigrationError.
    """
    applied = await migrate(connection, load_migrations(MIGRATIONS))
    await create_first_version(connection)
    return applied
