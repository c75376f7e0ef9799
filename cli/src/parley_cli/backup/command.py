"""Run of `parley backup`, `parley verify-backup` and `parley restore`."""

import argparse
import asyncio

from parley_cli.backup.restore_offline import restore_into_data_folder
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import offline_command, store_command
from parley_cli.settings import OperationsSettings, load


def backup(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    settings = load(OperationsSettings)
    locations = StackLocations(settings)
    folders = ["--to" if options.command == "backup" else "--from", options.folder]
    folders += ["--keys", options.keys] if options.keys else []
    match options.command:
        case "backup":
            return store_command(locations, "backup", *folders, more={})
        case "verify-backup":
            return offline_command(locations, "verify-backup", *folders)
        case _ if settings.session_database_url:
            more = locations.master_key_environment()
            return store_command(locations, "restore", *folders, more=more)
        case _:
            return asyncio.run(restore_into_data_folder(settings, folders))
