"""Parsers of `parley log …`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from parley_cli.command_parser import REPEATABLE, Subparsers, add_command, whole_number_up_to
from parley_cli.log.sql.as_of import AsOf, parse_as_of
from parley_cli.log.tail.arguments import (
    MIN_SESSION_PREFIX,
    event_types,
    log_position,
    session_or_prefix,
)
from parley_cli.log.time_arguments import parse_time

MAX_LIMIT = 100_000
MAX_GENERATED_SESSIONS = 10_000_000
TYPE_HELP = f"event type, such as message_submitted or a full ce_type; {REPEATABLE}"
EXPORT_HELP = "folder of an export, or s3://BUCKET/PREFIX"


def add_log(commands: Subparsers) -> None:
    """`log_command` in the result is the name of the command."""
    log = add_command(
        commands, "log", "read, export, query, verify and repair the event log", "log.command:log"
    )
    log_commands = log.add_subparsers(dest="log_command", required=True, metavar="COMMAND")
    _add_tail(log_commands)
    _add_export(log_commands)
    _add_sql(log_commands)
    _add_generate(log_commands)
    verify = add_command(
        log_commands, "verify", "check that the log, the event store and the read model agree"
    )
    verify.add_argument(
        "--export", metavar="TARGET", help=f"check an export against the log: {EXPORT_HELP}"
    )
    add_command(log_commands, "restore", "refill a lost topic from the event store")
    reconcile = add_command(
        log_commands, "reconcile", "import events that exist only in the log (run before serving)"
    )
    reconcile.add_argument("--dry-run", action="store_true", help="only print the planned changes")
    dead_letters = add_command(
        log_commands, "dead-letters", "list, show, retry or discard dead letters"
    )
    dead_letters.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="COMMAND …", help="see below"
    )


def _add_tail(log_commands: Subparsers) -> None:
    tail = add_command(
        log_commands, "tail", "print the last events of the log, or those from a start on"
    )
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
        type=whole_number_up_to(MAX_LIMIT),
        metavar="N",
        help="number of events: with --since or --from the first N (default: all), otherwise the "
        "last N (default 20), after which --follow continues",
    )
    add("--json", action="store_true", help="output one CloudEvent in JSON per line")
    add("--content", action="store_true", help="decrypt and print message content")


def _add_export(log_commands: Subparsers) -> None:
    export = add_command(log_commands, "export", "copy the log into files for analysis")
    add = export.add_argument
    add("--to", required=True, metavar="TARGET", help=EXPORT_HELP)
    add(
        "--format",
        choices=("parquet", "arrow", "ndjson"),
        help="Parquet (default), Arrow IPC, or CloudEvents in JSON lines",
    )
    add(
        "--continue",
        action="store_true",
        dest="resume",
        help="append what is new to the export, or finish it if it was interrupted",
    )
    add("--type", action="append", type=event_types, default=[], metavar="T", help=TYPE_HELP)
    add("--since", type=_time, metavar="TIME", help="first time to include")
    add("--until", type=_time, metavar="TIME", help="last time to include")
    for option, destination, text in (
        ("--from", "starts", "first position to read"),
        ("--before", "ends", "position at which to stop"),
    ):
        add(
            option,
            action="append",
            type=log_position,
            default=[],
            dest=destination,
            metavar="PARTITION:OFFSET",
            help=f"{text}; other partitions are left out; {REPEATABLE}",
        )
    add("--content", action="store_true", help="decrypt message content; null once erased")


def _add_sql(log_commands: Subparsers) -> None:
    sql = add_command(log_commands, "sql", "answer a question in SQL over an export or the log")
    add = sql.add_argument
    add(
        "query", nargs="?", metavar="QUERY", help="statement (default: standard input, or a prompt)"
    )
    add("--export", metavar="TARGET", help=f"{EXPORT_HELP} (default: the log itself)")
    add(
        "--as-of",
        type=_as_of,
        metavar="TIME|POSITIONS",
        help="only the events up to a time, or before positions PARTITION:OFFSET,…",
    )
    add(
        "--format",
        choices=("table", "csv", "json", "parquet"),
        default="table",
        help="output format (default table)",
    )
    add("--plot", choices=("line", "bar"), help="draw the result instead")
    add("--to", type=Path, metavar="FILE", help="file to write (default: standard output)")


def _add_generate(log_commands: Subparsers) -> None:
    generate = add_command(
        log_commands, "generate", "write simulated sessions as an export or into an empty stack"
    )
    add = generate.add_argument
    target = generate.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="TARGET", help=EXPORT_HELP)
    target.add_argument(
        "--stack", action="store_true", help="into the event store of the running stack"
    )
    add(
        "--sessions",
        required=True,
        type=whole_number_up_to(MAX_GENERATED_SESSIONS),
        metavar="N",
        help="number of sessions",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed of the simulation; the same seed generates the same log (default 0)",
    )
    add(
        "--days",
        type=whole_number_up_to(3660),
        default=30,
        metavar="D",
        help="days in which the sessions start (default 30)",
    )
    add("--content", action="store_true", help="export the text instead of its ciphertext")


def _as_of(text: str) -> AsOf:
    return parse_as_of(text, datetime.now(UTC))


def _time(text: str) -> datetime:
    return parse_time(text, datetime.now(UTC))
