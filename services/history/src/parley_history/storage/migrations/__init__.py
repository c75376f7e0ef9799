"""Migrations of history's database, as numbered SQL files."""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from parley_core.storage.migrations import (
    Migration,
    MigrationsPending,
    load_migrations,
    migrate,
    require_migrated,
)
from parley_history.storage.database import Connection
from parley_history.storage.role_rights import grant_role_rights, require_role_rights
from parley_history.storage.versions.schema import create_first_version, has_active_version

MIGRATIONS = files(__name__)


async def migrate_history(
    connection: Connection, roles: Mapping[str, str | None] = MappingProxyType({})
) -> list[Migration]:
    """Apply and return the pending migrations; create the first read-model version if missing.

    Gives the roles, `runtime` and `reader`, their rights; those of a later version stay. Safe to
    call from several processes at once. Raises MigrationError.
    """
    migrations = load_migrations(MIGRATIONS)
    applied = await migrate(connection, migrations)
    await create_first_version(connection)
    if any(roles.values()):
        await grant_role_rights(connection, roles, migrations)
    return applied


async def require_migrated_history(connection: Connection, role: str | None = None) -> None:
    """Raise MigrationError unless all migrations are applied and a version is active.

    And unless the connection has the rights of the role, `runtime` or `reader`, if one is given.
    """
    await require_migrated(connection, load_migrations(MIGRATIONS))
    if not await has_active_version(connection):
        raise MigrationsPending(
            "The database has no read model yet. Run the `migrate` command first."
        )
    if role is not None:
        await require_role_rights(connection, role)
