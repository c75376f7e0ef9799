"""Run of `parley backup`, `parley verify-backup` and `parley restore`."""

import argparse
import asyncio
import sys

from parley_cli.backup.restore_offline import restore_into_data_folder
from parley_cli.engines import EngineError
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.service_commands.service_command import offline_command, store_command
from parley_cli.settings import OperationsSettings, load


def backup(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    settings = load(OperationsSettings)
    locations = StackLocations(settings)
    folders = ["--to" if options.command == "backup" else "--from", options.folder]
    folders += ["--keys", options.keys] if options.keys else []
    try:
        match options.command:
            case "backup":
                return store_command(locations, "backup", *folders, with_master_key=False)
            case "verify-backup":
                return offline_command(locations, "verify-backup", *folders)
            case _ if settings.session_database_url:
                return store_command(locations, "restore", *folders, with_master_key=True)
            case _:
                return asyncio.run(restore_into_data_folder(settings, folders))
    except (StackNotRunning, EngineError) as error:
        print(error, file=sys.stderr)
        return 1
