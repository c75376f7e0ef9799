"""Command-line arguments of `dead-letters`."""

import argparse
import re
from typing import Any
from uuid import UUID

from parley_history.operations.dead_letters.repository import RecordLocation

MAX_LISTED = 10_000

Target = UUID | RecordLocation


def add_parsers(subparsers: Any) -> None:
    """Add `dead-letters` to the subcommands of the program."""
    parser = subparsers.add_parser(
        "dead-letters", help="inspect and resolve records that could not be projected"
    )
    commands = parser.add_subparsers(dest="dead_letters_command", required=True)
    listing = commands.add_parser("list", help="list dead letters in log order, one per line")
    listing.add_argument("--json", action="store_true", help="output JSON")
    listing.add_argument(
        "--limit", type=_limit, default=100, help="maximum number of dead letters (default: 100)"
    )
    showing = commands.add_parser(
        "show", help="show one record with its headers and value; message content is encrypted"
    )
    showing.add_argument("location", type=_location, metavar="PARTITION:OFFSET")
    retrying = commands.add_parser("retry", help="apply the dead letters of a session again")
    which = retrying.add_mutually_exclusive_group(required=True)
    which.add_argument("target", nargs="?", type=_target, metavar="SESSION|PARTITION:OFFSET")
    which.add_argument("--all", action="store_true", help="retry the dead letters of all sessions")
    discarding = commands.add_parser(
        "discard", help="skip the records, in this read model and in every rebuild"
    )
    discarding.add_argument("target", type=_target, metavar="PARTITION:OFFSET|SESSION")
    discarding.add_argument("--reason", required=True, help="the reason, stored with the record")


def _location(text: str) -> RecordLocation:
    match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError("must be PARTITION:OFFSET, such as 3:1250")
    return RecordLocation(int(match[1]), int(match[2]))


def _target(text: str) -> Target:
    try:
        return UUID(text)
    except ValueError:
        return _location(text)


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_LISTED:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MAX_LISTED}")
    return int(text)
