"""Rights of the roles of history's processes in a database that another role migrates (ADR 53).

`runtime` is the role of `project` and `dead-letters`, `reader` that of `serve`. `rebuild` and
`verify` create and drop versions of the read model, so they need the role that migrates.
"""

from collections.abc import Mapping, Sequence

from parley_core.storage.database_roles import Rights, admit_role, grant_rights, require_rights
from parley_core.storage.migrations import Migration, has_later_migrations
from parley_history.storage.database import Connection

ROLE_VARIABLES = {
    "runtime": "PARLEY_HISTORY_DATABASE_RUNTIME_ROLE",
    "reader": "PARLEY_HISTORY_DATABASE_READER_ROLE",
}

PUBLIC_RIGHTS: Mapping[str, Rights] = {
    "runtime": {
        "schema_migrations": "SELECT",
        # FOR SHARE needs a right to update; this column can have one value only.
        "active_read_model": "SELECT, UPDATE (only_row)",
        "discarded_records": "SELECT, INSERT",
    },
    "reader": {
        "schema_migrations": "SELECT",
        "active_read_model": "SELECT",
        "sessions": "SELECT",
        "messages": "SELECT",
        "usage": "SELECT",
        # `serve` reads the read model only, but makes the search index.
        "search_sessions": "SELECT, INSERT, UPDATE, DELETE",
        "search_messages": "SELECT, INSERT, DELETE",
    },
}
"""The rights of each role on the tables outside the versions, and on the views."""

VERSION_RIGHTS: Mapping[str, Rights] = {
    "runtime": {
        "positions": "SELECT, INSERT, UPDATE",
        "sessions": "SELECT, INSERT, UPDATE",
        "messages": "SELECT, INSERT, UPDATE, DELETE",
        "usage": "SELECT, INSERT, UPDATE",
        "deferred_events": "SELECT, INSERT, DELETE",
        "dead_letters": "SELECT, INSERT, DELETE",
    },
    "reader": {"dead_letters": "SELECT (session_id)"},
}
"""The rights of each role on the tables of the active version."""

_REMEMBER = """
INSERT INTO database_roles (kind, role) VALUES ($1, $2)
ON CONFLICT (kind) DO UPDATE SET role = excluded.role
"""
# Its row is locked, so that no rebuild activates another version meanwhile.
_LOCK_ACTIVE = "SELECT version FROM public.active_read_model FOR SHARE"
# A role that was dropped since must not fail a rebuild.
_READ = "SELECT kind, role FROM public.database_roles JOIN pg_roles ON rolname = role"


async def grant_role_rights(
    connection: Connection, roles: Mapping[str, str | None], migrations: Sequence[Migration]
) -> None:
    """Give each role, `runtime` and `reader`, its rights and no others.

    Those of a later version, which has applied other migrations than these, stay. Raises
    MigrationError.
    """
    given = {kind: role for kind, role in roles.items() if role is not None}
    async with connection.transaction():
        for kind, role in given.items():
            await admit_role(connection, role, ROLE_VARIABLES[kind])
        if await has_later_migrations(connection, migrations):
            return
        for kind, role in given.items():
            await grant_rights(connection, role, PUBLIC_RIGHTS[kind])
            await connection.execute(_REMEMBER, kind, role)
        active = await connection.fetchval(_LOCK_ACTIVE)
        await grant_version_rights(connection, active)


async def grant_version_rights(connection: Connection, version: int) -> None:
    """Give the roles of earlier `grant_role_rights` their rights on the tables of the version."""
    for kind, role in await connection.fetch(_READ):
        await grant_rights(connection, role, VERSION_RIGHTS[kind], f"read_model_{version}")


async def require_role_rights(connection: Connection, kind: str) -> None:
    """Raise MigrationsPending unless the connected role has the rights of this one."""
    await require_rights(connection, PUBLIC_RIGHTS[kind], ROLE_VARIABLES[kind])
