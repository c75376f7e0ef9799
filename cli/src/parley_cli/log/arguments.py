"""What may be typed after `parley log` and `parley rebuild`."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from parley_cli.log.help import EPILOGS
from parley_cli.log.time_arguments import moment
from parley_cli.subparser import Commands, add_command
from parley_events.session import DATA_BY_TYPE

MOST_SHOWN = 100_000
MOST_WORKERS = 64


def add_log(commands: Commands) -> None:
    """`chosen.log_command` is tail, verify, restore, reconcile or dead-letters."""
    summary = "read the log of events, check it, mend what broke"
    log = add_command(commands, "log", summary, EPILOGS["log"])
    below = log.add_subparsers(dest="log_command", required=True, metavar="COMMAND")
    _add_tail(below)
    _add(below, "verify", "check that the log, the event store and the read model agree")
    _add(below, "restore", "fill a topic that was lost from the event store")
    reconcile = _add(below, "reconcile", "give the event store back what only the log has")
    reconcile.add_argument("--dry-run", action="store_true", help="only say what would be done")
    letters = _add(below, "dead-letters", "records that were set aside: look, retry, discard")
    letters.add_argument("rest", nargs=argparse.REMAINDER, metavar="COMMAND …", help="see below")


def add_rebuild(commands: Commands) -> None:
    rebuild = add_command(
        commands, "rebuild", "make a read model anew from the log", EPILOGS["rebuild"]
    )
    below = rebuild.add_subparsers(dest="read_model", required=True, metavar="READ_MODEL")
    history = _add(below, "history", "make history's read model anew from the log")
    history.add_argument(
        "--workers",
        type=_number_to(MOST_WORKERS),
        metavar="N",
        help="processes that read the log side by side (default: one for each core)",
    )
    history.add_argument(
        "--rollback", action="store_true", help="go back to the version before the last swap"
    )
    history.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap also when the new version differs from the live one: after the projection "
        "itself was mended",
    )


def _add_tail(commands: Commands) -> None:
    tail = _add(commands, "tail", "show the log's last events, or those from a time or place on")
    add = tail.add_argument
    endless = tail.add_mutually_exclusive_group()
    endless.add_argument(
        "-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C"
    )
    endless.add_argument("--until", type=_moment, metavar="TIME", help="up to this time")
    add("--type", action="append", type=_types, default=[], metavar="T", help=TYPE_HELP)
    add(
        "--session",
        action="append",
        type=_session,
        default=[],
        metavar="ID",
        help=f"of this session; {MORE}",
    )
    add("--user", metavar="U", help="sessions of this person: the log is read from its beginning")
    add("--tenant", metavar="T", help="the person's tenant (default `default`), or all in a tenant")
    add("--since", type=_moment, metavar="TIME", help="from this time on")
    add(
        "--from",
        action="append",
        type=_position,
        default=[],
        dest="starts",
        metavar="PARTITION:OFFSET",
        help=f"from this place on, and no other partition; {MORE}",
    )
    add(
        "--limit",
        type=_number_to(MOST_SHOWN),
        metavar="N",
        help="how many: with --since or --from the first N from there (default: all), else the "
        "last N (default 20), after which --follow goes on",
    )
    add("--json", action="store_true", help="a CloudEvent in JSON on each line, for programs")
    add("--content", action="store_true", help="open what people typed and models wrote")


MORE = "may be given several times"
TYPE_HELP = f"such as message_submitted, or a whole ce_type; {MORE}"


def _add(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    return add_command(commands, name, summary, EPILOGS[name])


def _types(text: str) -> frozenset[str]:
    """A whole type as it is; a short name stands for all its versions."""
    if "." in text:
        return frozenset({text})
    named = frozenset(whole for whole in DATA_BY_TYPE if whole.split(".")[2] == text)
    if not named:
        known = ", ".join(sorted({whole.split(".")[2] for whole in DATA_BY_TYPE}))
        raise argparse.ArgumentTypeError(f"it should be a whole ce_type, or one of {known}")
    return named


def _session(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("it should be a session's UUID") from None


def _moment(text: str) -> datetime:
    return moment(text, datetime.now(UTC))


def _position(text: str) -> tuple[int, int]:
    if not (given := re.fullmatch(r"(\d{1,6}):(\d{1,18})", text)):
        raise argparse.ArgumentTypeError("it should look like 3:1250, a partition and an offset")
    return int(given[1]), int(given[2])


def _number_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"it should be a whole number from 1 to {most}")
        return int(text)

    return number
