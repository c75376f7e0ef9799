"""Run of `parley audit`, from the parsed options to the exit code."""

import argparse

from parley_cli.log.tail.filters import FilterOptions
from parley_cli.log.tail.run import print_log
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import session_command
from parley_cli.settings import load
from parley_cli.stack.stack_settings import OperationsSettings
from parley_events.topics import AUDIT_TOPIC


def audit(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    locations = StackLocations(load(OperationsSettings))
    if options.audit_command == "verify":
        return session_command(locations, "verify-audit")
    filters = FilterOptions(since=options.since, until=options.until)
    return print_log(locations, AUDIT_TOPIC, filters, options)
