"""The read model's migrations, as numbered SQL files."""

from importlib.resources import files

import asyncpg

from parley_core.storage.migrations import Migration, load_migrations, migrate
from parley_history.storage.versions import make_first_version

MIGRATIONS = files(__name__)


async def migrate_history(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> list[Migration]:
    """Apply what is missing, make a first version where there is none, and return the former.

    Any number of processes may call this at once. Raises MigrationError.
    """
    applied = await migrate(connection, load_migrations(MIGRATIONS))
    await make_first_version(connection)
    return applied
