"""Creates the databases of session and history, each with roles that can access no other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from parley_cli.engines import EngineError

ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
# DDL takes no parameters, so the server quotes the names and the password.
CREATE_ROLE = "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
ALTER_ROLE = "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
CREATE_DATABASE = "SELECT format('CREATE DATABASE %I OWNER %I', $1::text, $1::text)"
REVOKE_PUBLIC_ACCESS = "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $1::text)"
OTHER_DATABASES = "SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1')"
HAS_EVENTS_TABLE = "SELECT to_regclass('events') IS NOT NULL"
HAS_EVENTS = "SELECT EXISTS (SELECT FROM events)"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class ServiceDatabase:
    """A database, the role of the same name that owns it, and roles that services have.

    `roles` are the passwords by the names of the latter. They get their rights from `migrate`.
    """

    name: str
    password: str = field(repr=False)
    roles: Mapping[str, str] = field(default_factory=dict, repr=False)

    def dsn(self, server: str, role: str | None = None) -> str:
        """The DSN of the database on the server of the given URL, for its owner or a role."""
        host = urlsplit(server).netloc.rpartition("@")[2]
        credentials = f"{role}:{self.roles[role]}" if role else f"{self.name}:{self.password}"
        netloc = f"{credentials}@{host}"
        return urlsplit(server)._replace(netloc=netloc, path=f"/{self.name}").geturl()


async def prepare_databases(
    admin_dsn: str, databases: Iterable[ServiceDatabase], *, restrict_server: bool
) -> None:
    """Create the missing databases and roles. Raises EngineError.

    `restrict_server` also revokes public access to the other databases of the server.
    """
    try:
        connection = await asyncpg.connect(admin_dsn, timeout=10)
        try:
            for database in databases:
                await _prepare(connection, database)
            if restrict_server:
                for row in await connection.fetch(OTHER_DATABASES):
                    await _execute(connection, REVOKE_PUBLIC_ACCESS, row["datname"])
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EngineError(f"The databases cannot be created: {_reason(error)}.") from None


async def contains_events(admin_dsn: str, database: str) -> bool:
    """Whether the database stores sessions already. Raises EngineError."""
    try:
        connection = await asyncpg.connect(admin_dsn, database=database, timeout=10)
    except asyncpg.InvalidCatalogNameError:
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EngineError(f"PostgreSQL cannot be used: {_reason(error)}.") from None
    try:
        if not await connection.fetchval(HAS_EVENTS_TABLE):
            return False
        return bool(await connection.fetchval(HAS_EVENTS))
    finally:
        await connection.close()


async def _prepare(connection: Connection, database: ServiceDatabase) -> None:
    for role, password in {database.name: database.password, **database.roles}.items():
        role_exists = await connection.fetchval(ROLE_EXISTS, role)
        await _execute(connection, ALTER_ROLE if role_exists else CREATE_ROLE, role, password)
    if not await connection.fetchval(DATABASE_EXISTS, database.name):
        await _execute(connection, CREATE_DATABASE, database.name)
    await _execute(connection, REVOKE_PUBLIC_ACCESS, database.name)


async def _execute(connection: Connection, statement: str, *values: str) -> None:
    await connection.execute(await connection.fetchval(statement, *values))


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
