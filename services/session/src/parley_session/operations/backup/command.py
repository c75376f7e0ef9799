"""Command line of `backup`, `verify-backup` and `restore`."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TypeAlias

from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_session.operations.backup.archive import BackupArchive, BackupError
from parley_session.operations.backup.restore import restore_backup
from parley_session.operations.backup.tar_stream import TarStream
from parley_session.operations.backup.verify import verify_backup
from parley_session.operations.backup.write import back_up
from parley_session.settings import BackupSettings, VerifyBackupSettings
from parley_session.storage.migrations import MIGRATIONS

_STANDARD_OUTPUT = Path("-")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    _add(
        commands,
        "backup",
        "--to",
        "back up the event store and its keys, to folders or to -, and exit",
    )
    _add(commands, "verify-backup", "--from", "verify a backup without a database and exit")
    _add(commands, "restore", "--from", "restore a backup into an empty, migrated store and exit")


def _add(commands: Commands, name: str, folder: str, summary: str) -> None:
    added = commands.add_parser(name, help=summary)
    added.add_argument(folder, dest="folder", type=Path, required=True, metavar="DIR")
    added.add_argument(
        "--keys", type=Path, metavar="DIR", help="folder of the keys (default: DIR/keys)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings, MigrationError, BackupError."""
    is_stream = arguments.command == "backup" and arguments.folder == _STANDARD_OUTPUT
    if is_stream and arguments.keys is not None:
        raise BackupError("A tar stream contains the keys: leave out --keys.")
    archive = BackupArchive.at(arguments.folder, arguments.keys)
    if arguments.command == "verify-backup":
        return verify_backup(archive, load(VerifyBackupSettings).master_key)
    settings = load(BackupSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    if arguments.command == "restore":
        return asyncio.run(restore_backup(settings, archive))
    return asyncio.run(back_up(settings, TarStream(sys.stdout.buffer) if is_stream else archive))
