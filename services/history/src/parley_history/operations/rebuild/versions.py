"""Versions of the read model: the active one, the candidate being built, and earlier ones."""

from importlib.resources import files
from typing import NamedTuple

import asyncpg

from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.storage.database import Connection
from parley_history.storage.versions.schema import (
    add_keys,
    create_tables,
    drop_version,
    version_transaction,
)

_FILES = files(__package__)

_READ_ACTIVE = "SELECT version FROM public.active_read_model"
_READ_CANDIDATES = """
SELECT version, indexed_at IS NOT NULL AS indexed FROM public.read_models
WHERE activated_at IS NULL ORDER BY version DESC
"""
_READ_EARLIER = """
SELECT version FROM public.read_models WHERE activated_at IS NOT NULL
    AND version NOT IN (SELECT version FROM public.active_read_model)
ORDER BY activated_at DESC
"""
_INSERT = """
INSERT INTO public.read_models (version) SELECT max(version) + 1 FROM public.read_models
RETURNING version
"""
_MARK_INDEXED = "UPDATE public.read_models SET indexed_at = clock_timestamp() WHERE version = $1"
_SET_MEMORY = "SET LOCAL maintenance_work_mem = '256MB'"
_FIND_DUPLICATE = """
SELECT session_id, id FROM messages GROUP BY session_id, id HAVING count(*) > 1 LIMIT 1
"""
_READ_POSITIONS = "SELECT partition, next FROM read_model_{version}.positions"
_HAS_ROWS = """
SELECT EXISTS (SELECT FROM read_model_{version}.sessions)
    OR EXISTS (SELECT FROM read_model_{version}.deferred_events)
"""


class VersionCandidate(NamedTuple):
    """A version that was never active. `indexed` means bulk-loaded, with all keys."""

    version: int
    indexed: bool


async def active(connection: Connection) -> int:
    version: int | None = await connection.fetchval(_READ_ACTIVE)
    if version is None:
        raise RebuildAborted("There is no read model yet. Run the `migrate` command first.")
    return version


async def candidate(connection: Connection) -> VersionCandidate:
    """Return the unfinished version of an interrupted rebuild, or a new one; drop all others."""
    unfinished = await connection.fetch(_READ_CANDIDATES)
    for other in unfinished[1:]:
        await drop_version(connection, other["version"])
    if unfinished:
        return VersionCandidate(*unfinished[0].values())
    async with connection.transaction():
        version = await connection.fetchval(_INSERT)
        await create_tables(connection, version)
        await connection.execute(_FILES.joinpath("links.sql").read_text())
    return VersionCandidate(version, indexed=False)


async def finish_bulk(connection: Connection, version: int) -> None:
    """Add the keys, and then apply the changes that need them. Raises RebuildAborted."""
    try:
        async with version_transaction(connection, version):
            await connection.execute(_SET_MEMORY)
            await add_keys(connection)
            await connection.execute(_FILES.joinpath("finish.sql").read_text())
            await connection.execute(_MARK_INDEXED, version)
    except asyncpg.UniqueViolationError:
        async with version_transaction(connection, version):
            duplicate = await connection.fetchrow(_FIND_DUPLICATE)
        await drop_version(connection, version)
        session = "A session" if duplicate is None else f"Session {duplicate['session_id']}"
        message = "" if duplicate is None else f" {duplicate['id']}"
        raise RebuildAborted(
            f"{session} has two messages with the same id{message}, which a read model cannot "
            "store. The new version was dropped. Once the record is projected, `parley log "
            "dead-letters list` shows it; discard it there and run this command again."
        ) from None


async def earlier(connection: Connection) -> list[int]:
    """Return the formerly active versions, the most recent first."""
    return [row["version"] for row in await connection.fetch(_READ_EARLIER)]


async def positions(connection: Connection, version: int) -> dict[int, int]:
    rows = await connection.fetch(_READ_POSITIONS.format(version=version))
    return {row["partition"]: row["next"] for row in rows}


async def has_rows(connection: Connection, version: int) -> bool:
    return bool(await connection.fetchval(_HAS_ROWS.format(version=version)))
