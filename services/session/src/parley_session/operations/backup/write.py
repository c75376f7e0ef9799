"""`backup`: writes a snapshot of the event store to files, while sessions are written to."""

import hashlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from parley_session.operations.backup.archive import (
    BackupArchive,
    BackupFile,
    Manifest,
)
from parley_session.operations.backup.tables import (
    EXCLUDED_TABLES,
    BackupTable,
    Folder,
    backup_tables,
)
from parley_session.operations.operator_acts import operator_act
from parley_session.operations.progress import Progress
from parley_session.settings import BackupSettings
from parley_session.storage.audit.audit_store import append_records
from parley_session.storage.database import Connection, connect_for_maintenance

# Make the text format independent of the server's configuration.
TEXT_FORMAT_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "bytea_output": "hex"}


class BackupTarget(Protocol):
    """Where a backup is written; `str` describes it. The methods raise BackupError."""

    def create(self) -> None: ...
    def new_file(
        self, name: str, folder: Folder
    ) -> AbstractContextManager[Callable[[bytes], object]]: ...
    def finish(self, manifest: Manifest) -> None: ...


async def back_up(settings: BackupSettings, target: BackupTarget) -> int:
    """Write all files, then the manifest; return the exit code, 0. Raises BackupError.

    Memory: a batch of rows.
    """
    target.create()
    connection = await connect_for_maintenance(settings.database, TEXT_FORMAT_SETTINGS)
    try:
        # Before the snapshot, so that the backup has the record, too.
        await append_records(connection, [operator_act("backup", "store.backed_up")])
        # One snapshot for all files: no event without its session, no session without its key.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            manifest = await _write_all(connection, target)
    finally:
        connection.terminate()
    target.finish(manifest)
    _report(manifest, target)
    return 0


async def _write_all(connection: Connection, target: BackupTarget) -> Manifest:
    made_at: datetime = await connection.fetchval("SELECT now()")
    tables = await backup_tables(connection)
    files = [await _write(connection, backup_table, target) for backup_table in tables]
    migrations = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
    return Manifest(
        made_at=made_at,
        migrations={row["number"]: row["sha256"] for row in migrations},
        left_out=tuple(EXCLUDED_TABLES),
        files=tuple(files),
    )


async def _write(
    connection: Connection, backup_table: BackupTable, target: BackupTarget
) -> BackupFile:
    progress = Progress(f"Wrote {backup_table.name}:", await backup_table.count(connection))
    digest, rows, size = hashlib.sha256(), 0, 0
    with target.new_file(backup_table.name, backup_table.folder) as write_data:

        async def write(data: bytes) -> None:
            nonlocal rows, size
            write_data(data)
            digest.update(data)
            # COPY escapes newlines within a row.
            newlines = data.count(b"\n")
            rows, size = rows + newlines, size + len(data)
            progress.add(newlines)

        await connection.copy_from_query(await backup_table.statement(connection), output=write)
    return BackupFile(
        name=backup_table.name,
        folder=backup_table.folder,
        columns=backup_table.columns,
        rows=rows,
        bytes=size,
        sha256=digest.hexdigest(),
    )


def _report(manifest: Manifest, target: BackupTarget) -> None:
    # Standard output may be the backup itself.
    output = sys.stdout if isinstance(target, BackupArchive) else sys.stderr
    rows = {file.name: file.rows for file in manifest.files}
    size = sum(file.bytes for file in manifest.files)
    print(
        f"Backed up {rows['sessions']:,} sessions with {rows['events']:,} events "
        f"({size / 1e6:,.1f} MB), as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC, {target}.",
        file=output,
    )
    excluded = ", ".join(f"{name} ({reason})" for name, reason in EXCLUDED_TABLES.items())
    print(f"Not included: {excluded}.", file=output)
    print(
        "The keys are wrapped by the master key, which is not included: store it separately.",
        file=output,
    )
