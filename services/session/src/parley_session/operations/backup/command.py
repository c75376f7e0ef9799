"""`backup`, `verify-backup` and `restore`, from what was typed to the exit code."""

import argparse
import asyncio
from pathlib import Path
from typing import TypeAlias

from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_session.operations.backup.archive import BackupArchive
from parley_session.operations.backup.restore import restore_backup
from parley_session.operations.backup.verify import verify_backup
from parley_session.operations.backup.write import back_up
from parley_session.settings import BackupSettings, KeySettings
from parley_session.storage.migrations import MIGRATIONS

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    _add(commands, "backup", "--to", "write the store's rows and keys to new folders, then end")
    _add(commands, "verify-backup", "--from", "check a backup, without a store, then end")
    _add(commands, "restore", "--from", "fill an empty, migrated store from a backup, then end")


def _add(commands: Commands, name: str, folder: str, summary: str) -> None:
    added = commands.add_parser(name, help=summary)
    added.add_argument(folder, dest="folder", type=Path, required=True, metavar="DIR")
    added.add_argument(
        "--keys", type=Path, metavar="DIR", help="the folder of its keys (default: keys in DIR)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings, MigrationError, BackupError."""
    folders = BackupArchive.at(arguments.folder, arguments.keys)
    if arguments.command == "verify-backup":
        return verify_backup(folders, load(KeySettings).master_key)
    settings = load(BackupSettings)
    require_database_migrated(settings.session_database, MIGRATIONS)
    if arguments.command == "backup":
        return asyncio.run(back_up(settings, folders))
    return asyncio.run(restore_backup(settings, folders))
