"""What may be typed after `dead-letters`."""

import argparse
import re
from typing import Any
from uuid import UUID

from parley_history.operations.dead_letters.repository import Place

MOST_LISTED = 10_000

Target = UUID | Place


def add_parsers(subparsers: Any) -> None:
    """Add `dead-letters` to the commands of the program."""
    parser = subparsers.add_parser("dead-letters", help="what the projector could not apply")
    commands = parser.add_subparsers(dest="dead_letters_command", required=True)
    listing = commands.add_parser("list", help="one line for each, in the order of the log")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    listing.add_argument("--limit", type=_limit, default=100, help="at most so many (100)")
    showing = commands.add_parser("show", help="one record whole; what was said is sealed in it")
    showing.add_argument("place", type=_place, metavar="PARTITION:OFFSET")
    retrying = commands.add_parser("retry", help="apply those of a session again, in order")
    which = retrying.add_mutually_exclusive_group(required=True)
    which.add_argument("target", nargs="?", type=_target, metavar="SESSION|PARTITION:OFFSET")
    which.add_argument("--all", action="store_true", help="those of every session")
    discarding = commands.add_parser("discard", help="go on without it, now and in every rebuild")
    discarding.add_argument("target", type=_target, metavar="PARTITION:OFFSET|SESSION")
    discarding.add_argument("--reason", required=True, help="why; it is kept with the record")


def _place(text: str) -> Place:
    form = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text, re.ASCII)
    if form is None:
        raise argparse.ArgumentTypeError("it should be PARTITION:OFFSET, such as 3:1250")
    return Place(int(form[1]), int(form[2]))


def _target(text: str) -> Target:
    try:
        return UUID(text)
    except ValueError:
        return _place(text)


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MOST_LISTED:
        raise argparse.ArgumentTypeError(f"it should be a number from 1 to {MOST_LISTED}")
    return int(text)
