"""Run of `parley erase-user`."""

import argparse

from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import store_command
from parley_cli.settings import load
from parley_cli.stack.stack_settings import OperationsSettings


def erase_user(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    arguments = [f"--user={options.user}"]
    arguments += [f"--tenant={options.tenant}"] if options.tenant else []
    arguments += ["--yes"] if options.yes else []
    locations = StackLocations(load(OperationsSettings))
    more = {**locations.master_key_environment(), **locations.redis_environment()}
    return store_command(locations, "erase-user", *arguments, more=more)
