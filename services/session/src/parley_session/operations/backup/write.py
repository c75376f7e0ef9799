"""`backup`: the whole event store as of one moment, while sessions are written to."""

import hashlib
import os
from datetime import datetime
from pathlib import Path

import asyncpg

from parley_session.operations.backup.archive import (
    BackupArchive,
    BackupError,
    BackupFile,
    Manifest,
    created,
)
from parley_session.operations.backup.tables import LEFT_OUT, Part, parts_of
from parley_session.operations.log_scan import Progress
from parley_session.settings import BackupSettings

Connection = asyncpg.Connection

# What is written is read the same everywhere.
PLAIN_FORM = {"TimeZone": "UTC", "DateStyle": "ISO", "bytea_output": "hex"}
_BUFFER_BYTES = 1024 * 1024


async def back_up(settings: BackupSettings, folders: BackupArchive) -> int:
    """Write every file, then the manifest; the exit code is 0. Raises BackupError.

    Memory: a batch of rows.
    """
    folders.make()
    connection = await asyncpg.connect(
        settings.session_database,
        timeout=settings.session_store_seconds,
        command_timeout=settings.session_command_seconds,
        server_settings=PLAIN_FORM,
    )
    try:
        # One snapshot for all files: no event without its session, no session without its key.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            manifest = await _write_all(connection, folders)
    finally:
        connection.terminate()
    folders.finish(manifest)
    _report(manifest, folders)
    return 0


async def _write_all(connection: "Connection[asyncpg.Record]", folders: BackupArchive) -> Manifest:
    made_at: datetime = await connection.fetchval("SELECT now()")
    parts = await parts_of(connection)
    files = [await _write(connection, part, folders.path(part.name, part.folder)) for part in parts]
    migrations = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
    return Manifest(
        made_at=made_at,
        migrations={row["number"]: row["sha256"] for row in migrations},
        left_out=tuple(LEFT_OUT),
        files=tuple(files),
    )


async def _write(connection: "Connection[asyncpg.Record]", part: Part, path: Path) -> BackupFile:
    progress = Progress(f"Wrote {part.name}:", await part.count(connection))
    digest, rows, size = hashlib.sha256(), 0, 0
    try:
        with os.fdopen(created(path), "wb", buffering=_BUFFER_BYTES) as file:

            async def take(data: bytes) -> None:
                nonlocal rows, size
                file.write(data)
                digest.update(data)
                # A row's own newlines are written as \n.
                ended = data.count(b"\n")
                rows, size = rows + ended, size + len(data)
                progress.add(ended)

            await connection.copy_from_query(await part.statement(connection), output=take)
            file.flush()
            os.fsync(file.fileno())
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}.") from None
    return BackupFile(
        name=part.name,
        folder=part.folder,
        columns=part.columns,
        rows=rows,
        bytes=size,
        sha256=digest.hexdigest(),
    )


def _report(manifest: Manifest, folders: BackupArchive) -> None:
    rows = {file.name: file.rows for file in manifest.files}
    size = sum(file.bytes for file in manifest.files)
    print(
        f"Backed up {rows['sessions']:,} sessions with {rows['events']:,} events "
        f"({size / 1e6:,.1f} MB), as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC, to "
        f"{folders.store}; their keys to {folders.keys}."
    )
    print(f"Left out: {', '.join(f'{name} ({why})' for name, why in LEFT_OUT.items())}.")
    print("The keys are of use with the master key alone, which is in neither: keep it apart.")
