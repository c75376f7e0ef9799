"""Roles of a test on its PostgreSQL server."""

from urllib.parse import urlsplit

import asyncpg

_PASSWORD = "test"  # Only the test can reach the server.


def url_of_role(database: str, role: str) -> str:
    """The URL of the database for a role that `create_role` created."""
    host = urlsplit(database).netloc.rpartition("@")[2]
    return urlsplit(database)._replace(netloc=f"{role}:{_PASSWORD}@{host}").geturl()


async def create_role(server: str, role: str) -> None:
    await _on_server(server, f"CREATE ROLE {role} LOGIN PASSWORD '{_PASSWORD}'")


async def drop_role(server: str, role: str) -> None:
    """The databases in which it has rights must have been dropped."""
    await _on_server(server, f"DROP ROLE IF EXISTS {role}")


async def _on_server(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute(statement)
    await connection.close()
