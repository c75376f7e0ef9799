"""The databases of session and history: each with a role of its own, which can enter no other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from parley_cli.engines import EngineError

ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
# Statements about roles and databases take no parameters: the server quotes names and password.
CREATE_ROLE = "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
ALTER_ROLE = "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
CREATE_DATABASE = "SELECT format('CREATE DATABASE %I OWNER %I', $1::text, $1::text)"
CLOSE_DATABASE = "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $1::text)"
OTHER_DATABASES = "SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1')"
HAS_EVENTS_TABLE = "SELECT to_regclass('events') IS NOT NULL"
HAS_EVENTS = "SELECT EXISTS (SELECT FROM events)"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class EmbeddedDatabase:
    """A database and its one role, of the same name."""

    name: str
    password: str = field(repr=False)

    def dsn(self, server: str) -> str:
        """Where a service finds it on the server that any URL of it names."""
        place = urlsplit(server).netloc.rpartition("@")[2]
        login = f"{self.name}:{self.password}@{place}"
        return urlsplit(server)._replace(netloc=login, path=f"/{self.name}").geturl()


async def prepare_databases(
    administrator: str, databases: Iterable[EmbeddedDatabase], *, whole_server: bool
) -> None:
    """Make what is missing. `whole_server`: no role may enter the server's other databases either.

    Raises EngineError.
    """
    try:
        connection = await asyncpg.connect(administrator, timeout=10)
        try:
            for database in databases:
                await _prepare(connection, database)
            if whole_server:
                for row in await connection.fetch(OTHER_DATABASES):
                    await _execute(connection, CLOSE_DATABASE, row["datname"])
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EngineError(f"The databases could not be made: {_told(error)}.") from None


async def holds_events(administrator: str, database: str) -> bool:
    """Whether sessions were stored there before. Raises EngineError."""
    try:
        connection = await asyncpg.connect(administrator, database=database, timeout=10)
    except asyncpg.InvalidCatalogNameError:
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EngineError(f"PostgreSQL cannot be used: {_told(error)}.") from None
    try:
        if not await connection.fetchval(HAS_EVENTS_TABLE):
            return False
        return bool(await connection.fetchval(HAS_EVENTS))
    finally:
        await connection.close()


async def _prepare(connection: Connection, database: EmbeddedDatabase) -> None:
    known = await connection.fetchval(ROLE_EXISTS, database.name)
    statement = ALTER_ROLE if known else CREATE_ROLE
    await _execute(connection, statement, database.name, database.password)
    if not await connection.fetchval(DATABASE_EXISTS, database.name):
        await _execute(connection, CREATE_DATABASE, database.name)
    await _execute(connection, CLOSE_DATABASE, database.name)


async def _execute(connection: Connection, statement: str, *values: str) -> None:
    await connection.execute(await connection.fetchval(statement, *values))


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
