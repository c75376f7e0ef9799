"""Parts that the parsers of several commands share."""

import argparse
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from parley_cli.help import EPILOGS

if TYPE_CHECKING:
    from parley_core.limits.rules import LimitName

REPEATABLE = "may be repeated"
MAX_DAYS = 36_500

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Subparsers, name: str, summary: str, run: str = "", epilog: str | None = None
) -> argparse.ArgumentParser:
    """`run` is a function, as module:name; a command of a group has that of the group.

    Without an `epilog`, that in EPILOGS.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.epilog = epilog or EPILOGS[command.prog.removeprefix("parley ")]
    if run:
        command.set_defaults(run=f"parley_cli.{run}")
    return command


def whole_number_up_to(maximum: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {maximum}")
        return int(text)

    return number


def days(text: str) -> float:
    """A number of days, which may be a fraction."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) <= MAX_DAYS:
            return number
    raise argparse.ArgumentTypeError(f"expected a number of days up to {MAX_DAYS}")


def limit(text: str) -> tuple["LimitName", int]:
    """The name and the value of NAME=N."""
    # Imported here and not by every command.
    from parley_core.limits.rules import LIMIT_NAMES

    given, _, value = text.partition("=")
    for name in LIMIT_NAMES:
        if name == given and value.isdecimal():
            return name, int(value)
    names = ", ".join(LIMIT_NAMES)
    raise argparse.ArgumentTypeError(f"expected NAME=N, with a whole number and one of {names}")
