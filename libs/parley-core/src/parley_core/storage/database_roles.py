"""Roles with which processes work in a database that another role owns and migrates.

Such a role has the rights that its process needs, on the tables that it uses, and none to change
the schema (ADR 53).
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

import asyncpg
from pydantic import Field

from parley_core.storage.migrations import LOCK_KEY, MigrationError, MigrationsPending

Rights: TypeAlias = Mapping[str, str]
"""The rights on each table or view of a schema, such as `SELECT, INSERT` or `SELECT (id)`.

A right that this version no longer needs stays here for one more release, as the version before it
runs beside it (ADR 32). A right that is added comes with a migration, so that the version before,
when it is started again, knows not to take it.
"""

DatabaseRole = Annotated[str, Field(min_length=1, max_length=63)]

_FIND = """
SELECT pg_has_role(oid, current_user, 'MEMBER') AS owns,
    format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), rolname) AS grant
FROM pg_roles WHERE rolname = $1
"""
_LOCK = "SELECT pg_advisory_xact_lock($1)"
# As text, because GRANT takes no parameters: the server quotes the names.
_GRANTS = """
SELECT concat_ws(E';\n',
    format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', $2::text, $1::text),
    format('GRANT USAGE ON SCHEMA %I TO %I', $2, $1),
    string_agg(format('GRANT %s ON %I.%I TO %I', rights, $2, name, $1), E';\n')
) FROM unnest($3::text[], $4::text[]) AS needed (name, rights)
"""
_MISSING = """
SELECT DISTINCT name, current_user AS role
FROM unnest($1::text[], $2::text[]) AS needed (name, rights),
    string_to_table(rights, ', ') AS needed_right
WHERE NOT CASE needed_right WHEN 'DELETE' THEN has_table_privilege(name, 'DELETE')
    ELSE has_any_column_privilege(name, split_part(needed_right, ' ', 1)) END
ORDER BY name LIMIT 1
"""


async def admit_role(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, variable: str
) -> None:
    """Let the role connect; until the end of the transaction, no other process changes rights.

    Raises MigrationError, with the name of the variable, unless the role exists and is another
    than the one that migrates.
    """
    await connection.execute(_LOCK, LOCK_KEY)
    found = await connection.fetchrow(_FIND, role)
    if found is None:
        raise MigrationError(f"The role {role} of {variable} does not exist: create it first.")
    if found["owns"]:
        raise MigrationError(
            f"The role {role} of {variable} is a superuser or has the rights of the role that "
            "migrates, so nothing can be refused to it: name another role."
        )
    await connection.execute(found["grant"])


async def grant_rights(
    connection: "asyncpg.Connection[asyncpg.Record]",
    role: str,
    rights: Rights,
    schema: str = "public",
) -> None:
    """Give the role these rights in the schema, and take all others there; in a transaction."""
    names, granted = [*rights], [*rights.values()]
    await connection.execute(await connection.fetchval(_GRANTS, role, schema, names, granted))


async def require_rights(
    connection: "asyncpg.Connection[asyncpg.Record]", rights: Rights, variable: str
) -> None:
    """Raise MigrationsPending unless the connected role has the rights in its search path."""
    if row := await connection.fetchrow(_MISSING, [*rights], [*rights.values()]):
        raise MigrationsPending(
            f"The role {row['role']} lacks rights on {row['name']}. Run the `migrate` command "
            f"with its name in {variable}."
        )
