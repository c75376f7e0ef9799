"""`parley log …` and `parley rebuild …`, from what was typed to the exit code."""

import argparse
import asyncio
import os
import sys

from parley_cli.log.tail.command import KeyHolder, TailOptions, tail
from parley_cli.log.tail.filters import FilterOptions, Owner
from parley_cli.log.tail.unsealing import KeysUnavailable
from parley_cli.service_commands.commands import history_command, session_command, verify
from parley_cli.service_commands.locations import StackLocations, StackNotRunning
from parley_cli.settings import LogCommandSettings, load
from parley_core.log import LogError
from parley_events.topics import SESSIONS_TOPIC

DEFAULT_TENANT = "default"


def log(chosen: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    places = StackLocations(load(LogCommandSettings))
    try:
        match chosen.log_command:
            case "tail":
                return _tail(places, chosen)
            case "verify":
                return verify(places)
            case "restore":
                return session_command(places, "restore-log")
            case "reconcile":
                dry_run = ["--dry-run"] if chosen.dry_run else []
                return session_command(places, "reconcile", *dry_run)
            case _:
                return history_command(places, "dead-letters", *chosen.rest)
    except (StackNotRunning, LogError, KeysUnavailable) as trouble:
        print(trouble, file=sys.stderr)
        return 1


def rebuild(chosen: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretLost."""
    places = StackLocations(load(LogCommandSettings))
    options = ["--workers", str(chosen.workers)] if chosen.workers else []
    options += ["--rollback"] if chosen.rollback else []
    options += ["--accept-differences"] if chosen.accept_differences else []
    try:
        return history_command(places, "rebuild", *options)
    except StackNotRunning as trouble:
        print(trouble, file=sys.stderr)
        return 1


def _tail(places: StackLocations, chosen: argparse.Namespace) -> int:
    keys = KeyHolder(places.session_url(), places.internal_secret()) if chosen.content else None
    try:
        asyncio.run(tail(places.brokers(), SESSIONS_TOPIC, _asked(chosen), keys))
    except BrokenPipeError:
        # Who reads has enough; nor may what is left be written at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _asked(chosen: argparse.Namespace) -> TailOptions:
    owner = None
    if chosen.user or chosen.tenant:
        owner = Owner(chosen.tenant or DEFAULT_TENANT, chosen.user)
    selection = FilterOptions(
        types=frozenset().union(*chosen.type),
        sessions=frozenset(chosen.session),
        owner=owner,
        since=chosen.since,
        until=chosen.until,
        starts=dict(chosen.starts),
    )
    return TailOptions(selection, count=chosen.limit, follow=chosen.follow, as_json=chosen.json)
