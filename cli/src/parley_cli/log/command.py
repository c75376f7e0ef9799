"""Run of `parley log …` and `parley rebuild …`, from the parsed options to the exit code."""

import argparse
import asyncio
import os
import sys

from parley_cli.errors import CommandError
from parley_cli.log.tail.command import KeySource, TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions, Owner
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import history_command, session_command, verify
from parley_cli.settings import OperationsSettings, load
from parley_core.log import LogError
from parley_events.topics import SESSIONS_TOPIC

DEFAULT_TENANT = "default"


def log(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    locations = StackLocations(load(OperationsSettings))
    match options.log_command:
        case "tail":
            return _tail(locations, options)
        case "verify":
            return verify(locations)
        case "restore":
            return session_command(locations, "restore-log")
        case "reconcile":
            dry_run = ["--dry-run"] if options.dry_run else []
            return session_command(locations, "reconcile", *dry_run)
        case _:
            return history_command(locations, "dead-letters", *options.rest)


def rebuild(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    arguments = ["--workers", str(options.workers)] if options.workers else []
    arguments += ["--rollback"] if options.rollback else []
    arguments += ["--accept-differences"] if options.accept_differences else []
    return history_command(StackLocations(load(OperationsSettings)), "rebuild", *arguments)


def _tail(locations: StackLocations, options: argparse.Namespace) -> int:
    keys = None
    if options.content:
        keys = KeySource(locations.session_url(), locations.internal_secret())
    try:
        asyncio.run(tail(locations.brokers(), SESSIONS_TOPIC, _tail_options(options), keys))
    except LogError as error:
        raise CommandError(str(error)) from error
    except BrokenPipeError:
        # The reader closed the pipe. Redirect, so that the flush at exit does not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _tail_options(options: argparse.Namespace) -> TailOptions:
    owner = None
    if options.user or options.tenant:
        owner = Owner(options.tenant or DEFAULT_TENANT, options.user)
    filters = FilterOptions(
        types=frozenset().union(*options.type),
        sessions=frozenset(options.session),
        owner=owner,
        since=options.since,
        until=options.until,
        starts=dict(options.starts),
    )
    return TailOptions(filters, limit=options.limit, follow=options.follow, as_json=options.json)
