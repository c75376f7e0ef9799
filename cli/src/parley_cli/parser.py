"""Argument parser of the `parley` command."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from parley_cli.help import EPILOGS
from parley_cli.log.tail.arguments import (
    MIN_SESSION_PREFIX,
    event_types,
    log_position,
    session_or_prefix,
)
from parley_cli.log.time_arguments import parse_time
from parley_cli.stack.dev_tokens import DEFAULT_HOURS, DEFAULT_USER
from parley_cli.stack.up.addresses import MAX_REPLICAS, SERVICES

MAX_HOURS = 24 * 366
MAX_LIMIT = 100_000
MAX_WORKERS = 64

REPEATABLE = "may be repeated"
TYPE_HELP = f"event type, such as message_submitted or a full ce_type; {REPEATABLE}"

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; `run` in its result is the function that runs the command."""
    parser = argparse.ArgumentParser(
        prog="parley",
        description="Run Parley on one machine, chat with it, and operate its log and stores.",
        epilog="`parley COMMAND --help` explains a command and shows examples.",
    )
    parser.add_argument(
        "--version", action=_PrintVersion, nargs=0, help="print the version and exit"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_status(commands)
    _add_token(commands)
    _add_chat(commands)
    _add_log(commands)
    _add_rebuild(commands)
    _add_backup(commands, "backup", "--to", "back up the event store while the stack serves")
    _add_backup(commands, "verify-backup", "--from", "check that a backup is complete and intact")
    _add_backup(commands, "restore", "--from", "restore an event store from a backup")
    _add_export(commands)
    _add_erase_user(commands)
    return parser


def _add(commands: Subparsers, name: str, summary: str, run: str = "") -> argparse.ArgumentParser:
    """`run` is a function, as module:name; a command of a group has that of the group."""
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.epilog = EPILOGS[command.prog.removeprefix("parley ")]
    if run:
        command.set_defaults(run=f"parley_cli.{run}")
    return command


def _add_up(commands: Subparsers) -> None:
    summary = "run the whole stack in the foreground until Ctrl-C"
    up = _add(commands, "up", summary, "stack.up.command:up")
    up.add_argument(
        "--replicas",
        type=replica_counts,
        default={},
        metavar="SERVICE=N,…",
        help=f"number of processes of a service (1 to {MAX_REPLICAS}): {', '.join(SERVICES)}. "
        "Each process has its own address (`parley status`); the processes of a service also "
        "share one, at which callers reach them. Gateways share PARLEY_PORT.",
    )
    up.add_argument(
        "--build-page",
        action="store_true",
        help="serve the chat page of this checkout; built beside the start if web/ has changed",
    )
    up.add_argument(
        "--monitoring",
        action="store_true",
        help="also run Prometheus with the alerts of this checkout, and Grafana with its "
        "dashboards, where it is installed",
    )


def _add_status(commands: Subparsers) -> None:
    summary = "list the processes of the stack and whether each is ready"
    status = _add(commands, "status", summary, "stack.status:status")
    status.add_argument("--json", action="store_true", help="output JSON")


def _add_token(commands: Subparsers) -> None:
    summary = "print a development token, and nothing else"
    token = _add(commands, "token", summary, "stack.dev_tokens:print_token")
    _add_user(token)
    token.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help=f"permission to grant, such as assistants:write; {REPEATABLE}",
    )
    token.add_argument(
        "--hours",
        type=_whole_number_up_to(MAX_HOURS),
        default=DEFAULT_HOURS,
        metavar="H",
        help=f"lifetime in hours, 1 to {MAX_HOURS} (default {DEFAULT_HOURS}, which is 30 days)",
    )


def _add_chat(commands: Subparsers) -> None:
    chat = _add(commands, "chat", "chat in the terminal", "chat.command:chat")
    chat.add_argument("--url", help="base URL of the gateway (default: that of `parley up`)")
    chat.add_argument(
        "--token",
        help="bearer token (default: PARLEY_TOKEN, else a development token for --user)",
    )
    chat.add_argument(
        "--user",
        default=DEFAULT_USER,
        help=f"user ID for the development token (default {DEFAULT_USER})",
    )
    chat.add_argument(
        "--assistant", metavar="ID", help="assistant to chat with (prompts if omitted)"
    )
    session = chat.add_mutually_exclusive_group()
    session.add_argument("--session", metavar="ID", help="session to resume")
    session.add_argument(
        "--new",
        action="store_true",
        help="start a new session (default: resume the latest one with the assistant)",
    )


def _add_log(commands: Subparsers) -> None:
    """`log_command` in the result is tail, verify, restore, reconcile or dead-letters."""
    log = _add(commands, "log", "read, verify and repair the event log", "log.command:log")
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


def _add_tail(log_commands: Subparsers) -> None:
    tail = _add(log_commands, "tail", "print the last events of the log, or those from a start on")
    add = tail.add_argument
    end = tail.add_mutually_exclusive_group()
    end.add_argument("-f", "--follow", action="store_true", help="print new events until Ctrl-C")
    end.add_argument("--until", type=_time, metavar="TIME", help="last time to include")
    add("--type", action="append", type=event_types, default=[], metavar="T", help=TYPE_HELP)
    add(
        "--session",
        action="append",
        type=session_or_prefix,
        default=[],
        metavar="ID",
        help=f"session ID, or its first {MIN_SESSION_PREFIX} or more digits; {REPEATABLE}",
    )
    add("--user", metavar="U", help="owner of the sessions; reads the log from its beginning")
    add("--tenant", metavar="T", help="tenant of --user (default `default`); alone: all its users")
    add("--since", type=_time, metavar="TIME", help="first time to include")
    add(
        "--from",
        action="append",
        type=log_position,
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


def _add_rebuild(commands: Subparsers) -> None:
    summary = "rebuild a read model from the log"
    rebuild = _add(commands, "rebuild", summary, "log.command:rebuild")
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


def _add_backup(commands: Subparsers, name: str, folder_option: str, summary: str) -> None:
    """`folder` in the result is the backup, `keys` the folder of its keys or None."""
    command = _add(commands, name, summary, "backup.command:backup")
    command.add_argument(
        folder_option, dest="folder", required=True, metavar="DIR", help="folder of the backup"
    )
    command.add_argument(
        "--keys", metavar="DIR", help="folder of its keys (default: `keys` inside the backup)"
    )


def _add_export(commands: Subparsers) -> None:
    summary = "export all conversations of a user"
    export = _add(commands, "export", summary, "user_data.export:export")
    _add_user(export)
    export.add_argument(
        "--format",
        choices=("json", "markdown"),
        default="json",
        help="output format (default json)",
    )
    export.add_argument(
        "--to", type=Path, metavar="FILE", help="new file to write (default: standard output)"
    )
    export.add_argument("--url", help="base URL of the gateway (default: that of `parley up`)")


def _add_erase_user(commands: Subparsers) -> None:
    summary = "erase all conversations of a user by destroying their keys"
    erase = _add(commands, "erase-user", summary, "user_data.erase_user:erase_user")
    _add_user(erase)
    erase.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_user(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", required=True, metavar="U", help="user ID (claim `sub`)")
    command.add_argument("--tenant", metavar="T", help="tenant of the user (default `default`)")


class _PrintVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Imported here: `parley token` must be instant.
        from importlib.metadata import version

        print(f"parley {version('parley-cli')}")
        parser.exit()


def replica_counts(text: str) -> dict[str, int]:
    """Parse `gateway=2,inference=2`. Raises ArgumentTypeError."""
    counts: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([a-z-]+)=(\d{1,2})\s*", part)
        if match is None or match[1] not in SERVICES or not 1 <= int(match[2]) <= MAX_REPLICAS:
            raise argparse.ArgumentTypeError(
                f"expected a list such as gateway=2,inference=2 with services from "
                f"{', '.join(SERVICES)} and numbers from 1 to {MAX_REPLICAS}"
            )
        counts[match[1]] = int(match[2])
    return counts


def _time(text: str) -> datetime:
    return parse_time(text, datetime.now(UTC))


def _whole_number_up_to(maximum: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {maximum}")
        return int(text)

    return number
