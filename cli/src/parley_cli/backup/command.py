"""The run of `parley backup`, `parley verify-backup` and `parley restore`."""

import argparse
import asyncio
import sys

from parley_cli.backup.restore_offline import restore_into_data_folder
from parley_cli.engines import EngineError
from parley_cli.service_commands.commands import keys_command, store_command
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.settings import LogCommandSettings, load


def backup(chosen: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    settings = load(LogCommandSettings)
    places = StackLocations(settings)
    where = ["--to" if chosen.command == "backup" else "--from", chosen.folder]
    where += ["--keys", chosen.keys] if chosen.keys else []
    try:
        match chosen.command:
            case "backup":
                return store_command(places, "backup", *where, keys=False)
            case "verify-backup":
                return keys_command(places, "verify-backup", *where)
            case _ if settings.session_database:
                return store_command(places, "restore", *where, keys=True)
            case _:
                return asyncio.run(restore_into_data_folder(settings, where))
    except (StackNotRunning, EngineError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
