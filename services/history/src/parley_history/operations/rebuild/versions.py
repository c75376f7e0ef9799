"""Which versions there are: the active one, one that is built, and those before."""

from importlib.resources import files
from typing import NamedTuple

import asyncpg

from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.storage.projection_tables import Connection
from parley_history.storage.versions import add_keys, drop_version, make_tables, version_entered

_FILES = files(__package__)

_ACTIVE = "SELECT version FROM public.active_read_model"
_UNFINISHED = """
SELECT version, indexed_at IS NOT NULL AS indexed FROM public.read_models
WHERE activated_at IS NULL ORDER BY version DESC
"""
_BEFORE = """
SELECT version FROM public.read_models WHERE activated_at IS NOT NULL
    AND version NOT IN (SELECT version FROM public.active_read_model)
ORDER BY activated_at DESC
"""
_BEGIN = """
INSERT INTO public.read_models (version) SELECT max(version) + 1 FROM public.read_models
RETURNING version
"""
_INDEXED = "UPDATE public.read_models SET indexed_at = clock_timestamp() WHERE version = $1"
_MEMORY = "SET LOCAL maintenance_work_mem = '256MB'"
_DUPLICATE = """
SELECT session_id, id FROM messages GROUP BY session_id, id HAVING count(*) > 1 LIMIT 1
"""
_POSITIONS = "SELECT partition, next FROM read_model_{version}.positions"
_HOLDS_SOMETHING = """
SELECT EXISTS (SELECT FROM read_model_{version}.sessions)
    OR EXISTS (SELECT FROM read_model_{version}.held_events)
"""


class VersionCandidate(NamedTuple):
    """A version that nobody ever read; `indexed`: its bulk is there, with all keys."""

    version: int
    indexed: bool


async def active(connection: "Connection[asyncpg.Record]") -> int:
    version: int | None = await connection.fetchval(_ACTIVE)
    if version is None:
        raise RebuildAborted("There is no read model yet: run the `migrate` command first.")
    return version


async def candidate(connection: "Connection[asyncpg.Record]") -> VersionCandidate:
    """The unfinished version, to go on with, or a new one. Any other unfinished one is dropped."""
    unfinished = await connection.fetch(_UNFINISHED)
    for other in unfinished[1:]:
        await drop_version(connection, other["version"])
    if unfinished:
        return VersionCandidate(*unfinished[0].values())
    async with connection.transaction():
        version = await connection.fetchval(_BEGIN)
        await make_tables(connection, version)
        await connection.execute(_FILES.joinpath("links.sql").read_text())
    return VersionCandidate(version, indexed=False)


async def finish_bulk(connection: "Connection[asyncpg.Record]", version: int) -> None:
    """Add the keys, then what could not be done without them. Raises RebuildAborted."""
    try:
        async with version_entered(connection, version):
            await connection.execute(_MEMORY)
            await add_keys(connection)
            await connection.execute(_FILES.joinpath("finish.sql").read_text())
            await connection.execute(_INDEXED, version)
    except asyncpg.UniqueViolationError:
        async with version_entered(connection, version):
            duplicate = await connection.fetchrow(_DUPLICATE)
        await drop_version(connection, version)
        named = "A session" if duplicate is None else f"Session {duplicate['session_id']}"
        message = "" if duplicate is None else f", {duplicate['id']}"
        raise RebuildAborted(
            f"{named} has two messages with the same id{message}, which no version can hold; what "
            "was built was dropped. `parley log dead-letters list` tells the record once it was "
            "projected; discard it there and run this again."
        ) from None


async def before(connection: "Connection[asyncpg.Record]") -> list[int]:
    """Versions that were active once, the last one first."""
    return [row["version"] for row in await connection.fetch(_BEFORE)]


async def positions(connection: "Connection[asyncpg.Record]", version: int) -> dict[int, int]:
    rows = await connection.fetch(_POSITIONS.format(version=version))
    return {row["partition"]: row["next"] for row in rows}


async def holds_something(connection: "Connection[asyncpg.Record]", version: int) -> bool:
    return bool(await connection.fetchval(_HOLDS_SOMETHING.format(version=version)))
