"""The run of `parley erase-user`."""

import argparse
import sys

from parley_cli.service_commands.commands import store_command
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.settings import LogCommandSettings, load


def erase_user(chosen: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    whom = [f"--user={chosen.user}"] + ([f"--tenant={chosen.tenant}"] if chosen.tenant else [])
    try:
        places = StackLocations(load(LogCommandSettings))
        yes = ["--yes"] if chosen.yes else []
        return store_command(places, "erase-user", *whom, *yes, keys=True)
    except StackNotRunning as trouble:
        print(trouble, file=sys.stderr)
        return 1
