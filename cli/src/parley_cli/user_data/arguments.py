"""What may be typed after `parley export` and `parley erase-user`."""

import argparse
from pathlib import Path

from parley_cli.subparser import Commands, add_command

EPILOGS = {
    "export": """\
All of the person's sessions, through the gateway that `parley up` runs, with a token signed with
PARLEY_JWT_SECRET or with the secret in the data folder (PARLEY_DATA). JSON has every branch, in
Markdown the current one. A file is there once it is whole.

examples:
  parley export --user ada --to ada.json
  parley export --user ada --format markdown | less
""",
    "erase-user": """\
For good, whatever the undelete window: also sessions that are archived, deleted or temporary, and
last the key under which the person's words are indexed for search. Ids, times and counts stay, the
text is nobody's any more. Sessions under a legal hold are left, with exit code 1. Backups keep
their own copy of the keys until they are gone.

The event store is that of the stack that runs on the data folder (PARLEY_DATA), or the one that
PARLEY_SESSION_DATABASE names, with PARLEY_MASTER_KEY. The rest of Parley learns of it from the log
while session serves.

examples:
  parley erase-user --user ada
  parley erase-user --user ada --tenant acme --yes
""",
}


def add_people(commands: Commands) -> None:
    export = add_command(
        commands, "export", "write all that a person said and was told to a file", EPILOGS["export"]
    )
    _add_person(export)
    export.add_argument("--format", choices=("json", "markdown"), default="json")
    export.add_argument(
        "--to", type=Path, metavar="FILE", help="a new file (default: the standard output)"
    )
    export.add_argument("--url", help="the gateway (default: the one that `parley up` runs)")
    erase = add_command(
        commands, "erase-user", "destroy the keys of all that a person said", EPILOGS["erase-user"]
    )
    _add_person(erase)
    erase.add_argument("--yes", action="store_true", help="do not ask")


def _add_person(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", required=True, metavar="U", help="the `sub` of their tokens")
    command.add_argument("--tenant", metavar="T", help="their tenant (absent means `default`)")
