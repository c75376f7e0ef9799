"""Run of `parley log tail`, from the parsed options to the exit code."""

import argparse
import asyncio
import os
import shutil
import sys

from parley_cli.errors import CommandError
from parley_cli.log.tail.command import TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions, Owner
from parley_cli.log.tail.formatting import DEFAULT_TENANT
from parley_cli.service_commands.locations import SessionAccess, StackLocations
from parley_core.log import LogError
from parley_events.topics import SESSIONS_TOPIC


def run_tail(locations: StackLocations, options: argparse.Namespace) -> int:
    """Raises CommandError."""
    session = locations.session_access() if options.content else None
    return print_log(locations, SESSIONS_TOPIC, _filters(options), options, session)


def print_log(
    locations: StackLocations,
    topic: str,
    filters: FilterOptions,
    options: argparse.Namespace,
    session: SessionAccess | None = None,
) -> int:
    """Print records of a topic as the limit, follow and json of the options ask for.

    Raises CommandError.
    """
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    tail_options = TailOptions(
        filters, limit=options.limit, follow=options.follow, as_json=options.json, columns=columns
    )
    try:
        asyncio.run(tail(locations.brokers(), topic, tail_options, session))
    except LogError as error:
        raise CommandError(str(error)) from error
    except BrokenPipeError:
        # The reader closed the pipe. Redirect, so that the flush at exit does not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _filters(options: argparse.Namespace) -> FilterOptions:
    owner = None
    if options.user or options.tenant:
        owner = Owner(options.tenant or DEFAULT_TENANT, options.user)
    return FilterOptions(
        types=frozenset().union(*options.type),
        sessions=frozenset(options.session),
        owner=owner,
        since=options.since,
        until=options.until,
        starts=dict(options.starts),
    )
