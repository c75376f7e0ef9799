"""`restore`: restores a backup into an empty event store, in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

from parley_session.operations.backup.archive import (
    BackupArchive,
    BackupError,
    BackupFile,
    Manifest,
)
from parley_session.operations.backup.tables import BackupTable, backup_tables
from parley_session.operations.backup.verify import verify_backup
from parley_session.operations.backup.write import TEXT_FORMAT_SETTINGS
from parley_session.operations.operator_acts import operator_act
from parley_session.operations.progress import Progress
from parley_session.settings import BackupSettings
from parley_session.storage.audit.audit_store import append_records
from parley_session.storage.database import Connection, connect_for_maintenance

_CHUNK_BYTES = 1024 * 1024

# These select statements as text, so that the server quotes the identifiers in them.
_LOCK = "SELECT format('LOCK TABLE %I IN EXCLUSIVE MODE', $1::text)"
_HAS_ROWS = "SELECT format('SELECT EXISTS (SELECT FROM %I)', $1::text)"
# Assistants seeded by `migrate`, and their audit records, can be replaced as long as no relay has
# published them.
_ONLY_SEEDED = """
SELECT (SELECT count(*) FROM assistant_events) = (SELECT count(*) FROM assistant_outbox)
    AND (SELECT count(*) FROM audit_records) = (SELECT count(*) FROM audit_outbox)
    AND NOT EXISTS (SELECT FROM assistants WHERE tenant IS NOT NULL)
"""
_DELETE_SEEDED = """
DELETE FROM assistant_outbox;
DELETE FROM assistant_events;
DELETE FROM assistants;
DELETE FROM audit_outbox;
DELETE FROM audit_records;
DELETE FROM audit_chain
"""
_ADVANCE_SEQUENCE = """
SELECT format(
    'SELECT setval(pg_get_serial_sequence(%L, %L), max(%I)) FROM %I HAVING max(%I) > 0',
    quote_ident($1::text), $2::text, $2::text, $1::text, $2::text
)
"""
_CREATE_KEYS_TABLE = """
CREATE TEMPORARY TABLE restored_keys (id uuid, wrapped_key bytea) ON COMMIT DROP
"""
_SET_KEYS = """
UPDATE sessions SET wrapped_key = restored_keys.wrapped_key FROM restored_keys
WHERE sessions.id = restored_keys.id AND restored_keys.wrapped_key IS NOT NULL
"""


async def restore_backup(settings: BackupSettings, archive: BackupArchive) -> int:
    """Verify the backup and restore it; return the exit code, 1 if the backup is invalid.

    Raises BackupError if the store is not empty, or has another schema.
    """
    if code := await asyncio.to_thread(verify_backup, archive, settings.master_key):
        return code
    manifest = archive.manifest()
    lock_timeout = f"{settings.database.timeout_seconds}s"
    connection = await connect_for_maintenance(
        settings.database, {**TEXT_FORMAT_SETTINGS, "lock_timeout": lock_timeout}
    )
    try:
        async with connection.transaction():
            await _restore(connection, archive, manifest)
    finally:
        connection.terminate()
    print(f"Restored {sum(file.rows for file in manifest.files):,} rows.")
    return 0


async def _restore(connection: Connection, archive: BackupArchive, manifest: Manifest) -> None:
    tables = {backup_table.name: backup_table for backup_table in await backup_tables(connection)}
    await _require_same_schema(connection, tables, manifest)
    for backup_table in tables.values():
        await connection.execute(await connection.fetchval(_LOCK, backup_table.table))
    if await connection.fetchval(_ONLY_SEEDED):
        await connection.execute(_DELETE_SEEDED)
    for backup_table in tables.values():
        await _require_empty(connection, backup_table)
    await connection.execute(_CREATE_KEYS_TABLE)
    progress = Progress("Restored bytes:", sum(file.bytes for file in manifest.files))
    for file in manifest.files:
        backup_table = tables[file.name]
        table = "restored_keys" if file.name == "session_keys" else backup_table.table
        await _copy(connection, table, file, archive.open(file.name, file.folder), progress)
        if backup_table.numbered:
            await connection.execute(
                await connection.fetchval(
                    _ADVANCE_SEQUENCE, backup_table.table, backup_table.numbered
                )
            )
    await connection.execute(_SET_KEYS)
    # The next record of the restored chain: it says why the log may have other ones from here on.
    backup = ("backup", manifest.made_at.isoformat())
    restored = operator_act("restore", "store.restored", backup, outcome="done")
    await append_records(connection, [restored])


async def _require_same_schema(
    connection: Connection, tables: dict[str, BackupTable], manifest: Manifest
) -> None:
    rows = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
    if {row["number"]: row["sha256"] for row in rows} != dict(manifest.migrations):
        raise BackupError(
            f"The store is at migration {max(row['number'] for row in rows)}, the backup at "
            f"{max(manifest.migrations)}, or a migration differs: restore with the version that "
            "wrote the backup."
        )
    if {(file.name, file.columns) for file in manifest.files} != {
        (backup_table.name, backup_table.columns) for backup_table in tables.values()
    }:
        raise BackupError("The tables or columns of the store differ from those of the backup.")


async def _require_empty(connection: Connection, backup_table: BackupTable) -> None:
    if await connection.fetchval(await connection.fetchval(_HAS_ROWS, backup_table.table)):
        raise BackupError(
            f"The store is not empty: {backup_table.table} has rows. "
            "Restore into a database that was migrated and never served."
        )


async def _copy(
    connection: Connection,
    table: str,
    file: BackupFile,
    opened: BinaryIO,
    progress: Progress,
) -> None:
    async def content() -> AsyncIterator[bytes]:
        with opened:
            while chunk := opened.read(_CHUNK_BYTES):
                yield chunk
                progress.add(len(chunk))

    done = await connection.copy_to_table(table, source=content(), columns=[*file.columns])
    if done != f"COPY {file.rows}":
        raise BackupError(f"{file.name} should have {file.rows:,} rows, but the store got {done}.")
