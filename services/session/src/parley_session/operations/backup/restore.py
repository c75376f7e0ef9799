"""`restore`: a backup into an empty event store, all of it or nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from parley_session.operations.backup.archive import (
    BackupArchive,
    BackupError,
    BackupFile,
    Manifest,
)
from parley_session.operations.backup.tables import Part, parts_of
from parley_session.operations.backup.verify import verify_backup
from parley_session.operations.backup.write import PLAIN_FORM
from parley_session.operations.log_scan import Progress
from parley_session.settings import BackupSettings

Connection = asyncpg.Connection

_AT_ONCE_BYTES = 1024 * 1024

# Statements with names in them: the server quotes these.
_LOCK = "SELECT format('LOCK TABLE %I IN EXCLUSIVE MODE', $1::text)"
_HOLDS = "SELECT format('SELECT EXISTS (SELECT FROM %I)', $1::text)"
# What `migrate` has put there; as long as no relay published it, nobody knows of it.
_ONLY_SEEDED = """
SELECT (SELECT count(*) FROM assistant_events) = (SELECT count(*) FROM assistant_outbox)
    AND NOT EXISTS (SELECT FROM assistants WHERE tenant IS NOT NULL)
"""
_FORGET_SEEDED = """
DELETE FROM assistant_outbox;
DELETE FROM assistant_events;
DELETE FROM assistants
"""
_COUNT_ON = """
SELECT format(
    'SELECT setval(pg_get_serial_sequence(%L, %L), max(%I)) FROM %I HAVING max(%I) > 0',
    quote_ident($1::text), $2::text, $2::text, $1::text, $2::text
)
"""
_MAKE_KEYS = """
CREATE TEMPORARY TABLE restored_keys (id uuid, wrapped_key bytea) ON COMMIT DROP
"""
_GIVE_KEYS = """
UPDATE sessions SET wrapped_key = restored_keys.wrapped_key FROM restored_keys
WHERE sessions.id = restored_keys.id AND restored_keys.wrapped_key IS NOT NULL
"""

_WHAT_FOLLOWS = """\
Before session serves, `parley log reconcile` takes back what the log has more, erasures among it:
until then a session that was erased after the backup can be read again. Where the log is lost,
`parley log restore` fills it. Then `parley rebuild history` makes what people read."""


async def restore_backup(settings: BackupSettings, folders: BackupArchive) -> int:
    """Verify the backup, then restore it; the exit code, 1 where it is not whole.

    Raises BackupError where the store is not empty, or not as the backup's was.
    """
    if code := verify_backup(folders, settings.master_key):
        return code
    manifest = folders.manifest()
    connection = await asyncpg.connect(
        settings.session_database,
        timeout=settings.session_store_seconds,
        command_timeout=settings.session_command_seconds,
        server_settings={**PLAIN_FORM, "lock_timeout": f"{settings.session_store_seconds}s"},
    )
    try:
        async with connection.transaction():
            await _restore(connection, folders, manifest)
    finally:
        connection.terminate()
    print(f"Restored {sum(file.rows for file in manifest.files):,} rows.")
    print(_WHAT_FOLLOWS)
    return 0


async def _restore(
    connection: "Connection[asyncpg.Record]", folders: BackupArchive, manifest: Manifest
) -> None:
    parts = {part.name: part for part in await parts_of(connection)}
    await _require_the_same(connection, parts, manifest)
    for part in parts.values():
        await connection.execute(await connection.fetchval(_LOCK, part.table))
    if await connection.fetchval(_ONLY_SEEDED):
        await connection.execute(_FORGET_SEEDED)
    for part in parts.values():
        await _require_empty(connection, part)
    await connection.execute(_MAKE_KEYS)
    progress = Progress("Restored bytes:", sum(file.bytes for file in manifest.files))
    for file in manifest.files:
        part = parts[file.name]
        table = "restored_keys" if file.name == "session_keys" else part.table
        await _copy(connection, table, file, folders.path(file.name, file.folder), progress)
        if part.numbered:
            await connection.execute(
                await connection.fetchval(_COUNT_ON, part.table, part.numbered)
            )
    await connection.execute(_GIVE_KEYS)


async def _require_the_same(
    connection: "Connection[asyncpg.Record]", parts: dict[str, Part], manifest: Manifest
) -> None:
    rows = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
    if {row["number"]: row["sha256"] for row in rows} != dict(manifest.migrations):
        raise BackupError(
            f"The store is at migration {max(row['number'] for row in rows)}, the backup at "
            f"{max(manifest.migrations)}, or they differ: restore with the version that wrote it."
        )
    if {(file.name, file.columns) for file in manifest.files} != {
        (part.name, part.columns) for part in parts.values()
    }:
        raise BackupError("The store has other tables or columns than the backup.")


async def _require_empty(connection: "Connection[asyncpg.Record]", part: Part) -> None:
    if await connection.fetchval(await connection.fetchval(_HOLDS, part.table)):
        raise BackupError(
            f"The store is not empty: {part.table} has rows. A backup is restored into a store "
            "that was migrated, and that no process of session has served yet."
        )


async def _copy(
    connection: "Connection[asyncpg.Record]",
    table: str,
    file: BackupFile,
    path: Path,
    progress: Progress,
) -> None:
    async def content() -> AsyncIterator[bytes]:
        with path.open("rb") as opened:
            while some := opened.read(_AT_ONCE_BYTES):
                yield some
                progress.add(len(some))

    done = await connection.copy_to_table(table, source=content(), columns=[*file.columns])
    if done != f"COPY {file.rows}":
        raise BackupError(f"{file.name} has {file.rows:,} rows, and the store took another number.")
