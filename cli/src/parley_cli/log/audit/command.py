"""Run of `parley audit`, from the parsed options to the exit code."""

import argparse
import asyncio
import shutil
import sys

from parley_cli.errors import CommandError
from parley_cli.log.tail.command import TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import session_command
from parley_cli.settings import OperationsSettings, load
from parley_core.log import LogError
from parley_events.topics import AUDIT_TOPIC


def audit(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    locations = StackLocations(load(OperationsSettings))
    if options.audit_command == "verify":
        return session_command(locations, "verify-audit")
    filters = FilterOptions(since=options.since, until=options.until)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    tail_options = TailOptions(
        filters,
        limit=options.limit,
        follow=options.follow,
        as_json=options.json,
        columns=columns,
    )
    try:
        asyncio.run(tail(locations.brokers(), AUDIT_TOPIC, tail_options, None))
    except LogError as error:
        raise CommandError(str(error)) from error
    return 0
