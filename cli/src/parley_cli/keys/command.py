"""Run of `parley keys`."""

import argparse

from parley_cli.keys.signing_keys import make_signing_keys
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import store_command
from parley_cli.settings import load
from parley_cli.stack.stack_settings import OperationsSettings


def keys(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    if options.keys_command == "signing":
        return make_signing_keys(options.to, options.next)
    arguments = [options.keys_command]
    match options.keys_command:
        case "rewrap":
            arguments += [f"--to={options.to}"]
            arguments += ["--dry-run"] if options.dry_run else []
            arguments += ["--all"] if options.all else []
        case "rotate":
            arguments += ["--yes"] if options.yes else []
    locations = StackLocations(load(OperationsSettings))
    return store_command(locations, "keys", *arguments, more=locations.master_key_environment())
