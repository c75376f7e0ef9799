"""Run of `parley erase-user`."""

import argparse
import sys

from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.service_commands.service_command import store_command
from parley_cli.settings import OperationsSettings, load


def erase_user(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    arguments = [f"--user={options.user}"]
    arguments += [f"--tenant={options.tenant}"] if options.tenant else []
    arguments += ["--yes"] if options.yes else []
    try:
        locations = StackLocations(load(OperationsSettings))
        return store_command(locations, "erase-user", *arguments, with_master_key=True)
    except StackNotRunning as error:
        print(error, file=sys.stderr)
        return 1
