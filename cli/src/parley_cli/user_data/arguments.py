"""Arguments of `parley export` and `parley erase-user`."""

import argparse
from pathlib import Path

from parley_cli.subparser import Subparsers, add_command

EPILOGS = {
    "export": """\
Exports all sessions of a user through the gateway that `parley up` runs, with a token signed with
PARLEY_JWT_SECRET or with the secret in the data folder (PARLEY_DATA). JSON contains every branch
of a session, Markdown the current one. A file appears under its name once it is complete.

examples:
  parley export --user ada --to ada.json
  parley export --user ada --format markdown | less
""",
    "erase-user": """\
Erases permanently, without an undelete window: archived, deleted and temporary sessions as well,
and finally the key with which the user's words are indexed for search. IDs, times and counts
remain; message content becomes unreadable. Sessions under a legal hold are not erased; the exit
code is then 1. Backups have their own copies of the keys, which remain until they are deleted.

The event store is that of the stack that runs on the data folder (PARLEY_DATA), or the one at
PARLEY_SESSION_DATABASE_URL, with PARLEY_MASTER_KEY. The other services follow through the log while
the session service runs.

examples:
  parley erase-user --user ada
  parley erase-user --user ada --tenant acme --yes
""",
}


def add_user_data(subparsers: Subparsers) -> None:
    export = add_command(
        subparsers, "export", "export all conversations of a user", EPILOGS["export"]
    )
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
    erase = add_command(
        subparsers,
        "erase-user",
        "erase all conversations of a user by destroying their keys",
        EPILOGS["erase-user"],
    )
    _add_user(erase)
    erase.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_user(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", required=True, metavar="U", help="user ID (claim `sub`)")
    command.add_argument("--tenant", metavar="T", help="tenant of the user (default `default`)")
