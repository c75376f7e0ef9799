"""Run of `parley backup`, `parley verify-backup` and `parley restore`."""

import argparse
import asyncio

from parley_cli.backup.restore_offline import restore_into_data_folder
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import offline_command, store_command
from parley_cli.settings import load
from parley_cli.stack.program import parley_command
from parley_cli.stack.stack_settings import OperationsSettings


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
            code = store_command(locations, "restore", *folders, more=more)
            if code == 0:
                print(_next_steps())
            return code
        case _:
            return asyncio.run(restore_into_data_folder(settings, folders))


def _next_steps() -> str:
    """The steps for an event store at PARLEY_SESSION_DATABASE_URL."""
    return f"""\
Next, before the session service starts (with PARLEY_KAFKA set), or sessions erased since the
backup can be read again:
  {parley_command("log", "reconcile")}
and, once it serves (with PARLEY_KAFKA and PARLEY_HISTORY_DATABASE_URL set):
  {parley_command("log", "restore")}
  {parley_command("rebuild", "history")}"""
