"""Arguments of `parley log` and `parley rebuild`."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from parley_cli.log.help import EPILOGS
from parley_cli.log.time_arguments import parse_time
from parley_cli.subparser import Subparsers, add_command
from parley_events.session import DATA_BY_TYPE

MAX_LIMIT = 100_000
MAX_WORKERS = 64

REPEATABLE = "may be repeated"
TYPE_HELP = f"event type, such as message_submitted or a full ce_type; {REPEATABLE}"


def add_log(subparsers: Subparsers) -> None:
    """`log_command` in the result is tail, verify, restore, reconcile or dead-letters."""
    summary = "read, verify and repair the event log"
    log = add_command(subparsers, "log", summary, EPILOGS["log"])
    log_commands = log.add_subparsers(dest="log_command", required=True, metavar="COMMAND")
    _add_tail(log_commands)
    _add(log_commands, "verify", "check that the log, the event store and the read model agree")
    _add(log_commands, "restore", "refill a lost topic from the event store")
    reconcile = _add(
        log_commands, "reconcile", "import events that exist only in the log (run before serving)"
    )
    reconcile.add_argument("--dry-run", action="store_true", help="only print the planned changes")
    dead_letters = _add(log_commands, "dead-letters", "list, show, retry or discard dead letters")
    dead_letters.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="COMMAND …", help="see below"
    )


def add_rebuild(subparsers: Subparsers) -> None:
    rebuild = add_command(
        subparsers, "rebuild", "rebuild a read model from the log", EPILOGS["rebuild"]
    )
    read_models = rebuild.add_subparsers(dest="read_model", required=True, metavar="READ_MODEL")
    history = _add(read_models, "history", "rebuild history's read model from the log")
    history.add_argument(
        "--workers",
        type=_whole_number_up_to(MAX_WORKERS),
        metavar="N",
        help="number of worker processes that read the log in parallel (default: one per core)",
    )
    history.add_argument(
        "--rollback", action="store_true", help="return to the version before the last swap"
    )
    history.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap even if the new version differs from the live one: use after a fix to the "
        "projection",
    )


def _add_tail(subparsers: Subparsers) -> None:
    tail = _add(subparsers, "tail", "print the last events of the log, or those from a start on")
    add = tail.add_argument
    end = tail.add_mutually_exclusive_group()
    end.add_argument("-f", "--follow", action="store_true", help="print new events until Ctrl-C")
    end.add_argument("--until", type=_time, metavar="TIME", help="last time to include")
    add("--type", action="append", type=_types, default=[], metavar="T", help=TYPE_HELP)
    add(
        "--session",
        action="append",
        type=_session,
        default=[],
        metavar="ID",
        help=f"session ID; {REPEATABLE}",
    )
    add("--user", metavar="U", help="owner of the sessions; reads the log from its beginning")
    add("--tenant", metavar="T", help="tenant of --user (default `default`); alone: all its users")
    add("--since", type=_time, metavar="TIME", help="first time to include")
    add(
        "--from",
        action="append",
        type=_position,
        default=[],
        dest="starts",
        metavar="PARTITION:OFFSET",
        help=f"first position to read; other partitions are left out; {REPEATABLE}",
    )
    add(
        "--limit",
        type=_whole_number_up_to(MAX_LIMIT),
        metavar="N",
        help="number of events: with --since or --from the first N (default: all), otherwise the "
        "last N (default 20), after which --follow continues",
    )
    add("--json", action="store_true", help="output one CloudEvent in JSON per line")
    add("--content", action="store_true", help="decrypt and print message content")


def _add(subparsers: Subparsers, name: str, summary: str) -> argparse.ArgumentParser:
    return add_command(subparsers, name, summary, EPILOGS[name])


def _types(text: str) -> frozenset[str]:
    """A full type stands for itself, a short name for all versions of the type."""
    if "." in text:
        return frozenset({text})
    matching = frozenset(full for full in DATA_BY_TYPE if full.split(".")[2] == text)
    if not matching:
        known = ", ".join(sorted({full.split(".")[2] for full in DATA_BY_TYPE}))
        raise argparse.ArgumentTypeError(f"expected a full ce_type or one of {known}")
    return matching


def _session(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("expected the UUID of a session") from None


def _time(text: str) -> datetime:
    return parse_time(text, datetime.now(UTC))


def _position(text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r"(\d{1,6}):(\d{1,18})", text)):
        raise argparse.ArgumentTypeError("expected a partition and an offset, such as 3:1250")
    return int(match[1]), int(match[2])


def _whole_number_up_to(maximum: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {maximum}")
        return int(text)

    return number
