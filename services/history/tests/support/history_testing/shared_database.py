"""A database that the tests of a process use one after the other."""

from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from parley_history.storage.migrations import migrate_history
from parley_testing.role_sql import create_role, drop_role

_END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# Not TRUNCATE, which creates new files for each table and index.
_EMPTY = """
DELETE FROM read_model_1.positions;
DELETE FROM read_model_1.sessions;
DELETE FROM read_model_1.messages;
DELETE FROM read_model_1.usage;
DELETE FROM read_model_1.deferred_events;
DELETE FROM read_model_1.dead_letters;
DELETE FROM discarded_records;
DELETE FROM search_sessions;
DELETE FROM search_messages;
"""
# What a test may have changed besides rows of these tables.
_SCHEMA = """
WITH tables AS (
    SELECT oid, relnamespace, relname, relkind, relacl, reloptions FROM pg_class
    WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
)
SELECT array_agg(line ORDER BY line) FROM (
    SELECT format('%s.%s %s', relnamespace::regnamespace, relname, relkind)
        || format(' %s %s', relacl, reloptions)
    FROM tables
    UNION ALL SELECT format('%s.%s %s %s', attrelid::regclass, attname, atttypid, attnotnull)
    FROM pg_attribute JOIN tables ON oid = attrelid
    UNION ALL SELECT pg_get_viewdef(oid) FROM tables WHERE relkind = 'v'
    UNION ALL SELECT format('%s %s', conrelid::regclass, conname)
    FROM pg_constraint JOIN tables ON tables.oid = conrelid
    UNION ALL SELECT format('%s %s', tgrelid::regclass, tgname)
    FROM pg_trigger JOIN tables ON tables.oid = tgrelid
    UNION ALL SELECT format('%s %s', number, sha256) FROM schema_migrations
    UNION ALL SELECT format('version %s', version) FROM read_models
    UNION ALL SELECT format('active %s', version) FROM active_read_model
) AS lines (line)
"""


class SharedDatabase:
    """Each test finds it migrated and empty: to create a database takes longer than most tests."""

    def __init__(self, server: str) -> None:
        """`server` is an administrator's DSN."""
        self._server, self._name = server, f"test_{uuid4().hex}"
        self._schema: list[str] | None = None

    @property
    def dsn(self) -> str:
        return urlsplit(self._server)._replace(path=f"/{self._name}").geturl()

    @property
    def roles(self) -> dict[str, str]:
        return {kind: f"{self._name}_{kind}" for kind in ("runtime", "reader")}

    async def clear(self) -> None:
        """End all connections and empty the tables; create it anew if its schema was changed."""
        if self._schema is None or not await self._emptied():
            await self.drop()
            await self._on_server(f"CREATE DATABASE {self._name}")
            for role in self.roles.values():
                await create_role(self._server, role)
            connection = await asyncpg.connect(self.dsn)
            await migrate_history(connection, self.roles)
            self._schema = await connection.fetchval(_SCHEMA)
            await connection.close()

    async def drop(self) -> None:
        await self._on_server(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        for role in self.roles.values():
            await drop_role(self._server, role)

    async def _emptied(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(_END_OTHERS)
                if await connection.fetchval(_SCHEMA) != self._schema:
                    return False
                await connection.execute(_EMPTY)
                return True
            finally:
                await connection.close()
        except asyncpg.PostgresError:
            return False

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server)
        await connection.execute(statement)
        await connection.close()
