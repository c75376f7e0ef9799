"""Roles that do not own the tables: they are given the rights of a list, and no others."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from parley_core.process.process_state import ProcessState
from parley_core.storage.database_roles import admit_role, grant_rights, require_rights
from parley_core.storage.database_start import wait_until_migrated
from parley_core.storage.migrations import MigrationError, MigrationsPending
from parley_testing.role_sql import create_role, url_of_role

VARIABLE = "PARLEY_TEST_ROLE"
Connection = asyncpg.Connection


@pytest.fixture
async def role(postgres_server: str) -> str:
    role = f"Role {uuid4().hex}"
    await create_role(postgres_server, f'"{role}"')
    return role


@pytest.fixture
async def owner(database: str, role: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE people (name text); CREATE TABLE places (name text)")
    yield connection
    await connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
    await connection.close()


@pytest.fixture
async def other(database: str, role: str, owner: Connection) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url_of_role(database, role.replace(" ", "%20")))
    yield connection
    await connection.close()


async def test_a_role_has_exactly_the_rights_that_it_was_given_last(
    owner: Connection, other: Connection, role: str
) -> None:
    async with owner.transaction():
        await admit_role(owner, role, VARIABLE)
        await grant_rights(owner, role, {"people": "SELECT, INSERT", "places": "SELECT"})
    await other.execute("INSERT INTO people SELECT name FROM places")
    await grant_rights(owner, role, {"people": "SELECT (name)"})
    await other.fetch("SELECT name FROM people")
    for refused in ("INSERT INTO people VALUES ('eve')", "SELECT FROM places"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute(refused)


async def test_a_role_that_does_not_exist_or_may_do_everything_is_refused(
    owner: Connection, role: str
) -> None:
    me = await owner.fetchval("SELECT current_user")
    await owner.execute(f'GRANT "{me}" TO "{role}"')
    for refused in ("nobody", me, role):
        with pytest.raises(MigrationError, match=VARIABLE):
            await admit_role(owner, refused, VARIABLE)


async def test_a_start_without_rights_waits_for_them_and_names_the_variable(
    owner: Connection, other: Connection, database: str, role: str
) -> None:
    rights = {"people": "SELECT, UPDATE (name)", "places": "DELETE"}
    with pytest.raises(MigrationsPending, match=f"people.*{VARIABLE}"):
        await require_rights(other, rights, VARIABLE)
    await grant_rights(owner, role, {"people": "SELECT, UPDATE (name)"})
    with pytest.raises(MigrationsPending, match=f"places.*{VARIABLE}"):
        await require_rights(other, rights, VARIABLE)
    await grant_rights(owner, role, rights)
    await require_rights(other, rights, VARIABLE)


async def test_a_database_that_the_role_may_not_enter_yet_counts_as_not_migrated(
    owner: Connection, database: str, role: str
) -> None:
    name = urlsplit(database).path[1:]
    await owner.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    state = ProcessState()

    async def admitted(connection: Connection) -> None:
        await connection.fetch("SELECT name FROM people")

    async def start(seconds: float) -> None:
        url = url_of_role(database, role.replace(" ", "%20"))
        await wait_until_migrated(url, admitted, state, migration_wait_seconds=seconds)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await start(0)
    async with owner.transaction():
        await admit_role(owner, role, VARIABLE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await start(0)
    await grant_rights(owner, role, {"people": "SELECT"})
    await start(0)
