"""What may be typed after `parley`, and what its help says."""

import argparse
import re

from parley_cli.backup.arguments import add_backup
from parley_cli.log.arguments import add_log, add_rebuild
from parley_cli.stack.dev_tokens import DEFAULT_HOURS, DEFAULT_USER
from parley_cli.stack.up.addresses import MOST_REPLICAS, SERVICES
from parley_cli.subparser import Commands, add_command
from parley_cli.user_data.arguments import add_people

MOST_HOURS = 24 * 366

EPILOGS = {
    "up": """\
environment:
  PARLEY_DATA          the data folder (default .parley)
  PARLEY_PORT          the port of the gateway (default 8080), on PARLEY_HOST (127.0.0.1)
  OPENAI_BASE_URL, OPENAI_API_KEY, PARLEY_MODEL
                       a model server, its key, its model; with neither of the first two an
                       offline demo model answers
  PARLEY_POSTGRES, PARLEY_KAFKA, PARLEY_REDIS
                       engines that already run, instead of embedded ones: an administrator's
                       postgresql:// URL, host:port, a redis:// URL
  PARLEY_MASTER_KEY, PARLEY_INTERNAL_SECRET, PARLEY_JWT_SECRET
                       secrets, instead of those that are made once and kept in the data folder

examples:
  parley up
  PARLEY_PORT=9000 parley up --replicas gateway=2,inference=2
  OPENAI_API_KEY=... PARLEY_MODEL=gpt-4.1-mini parley up
""",
    "status": """\
The exit code is 1 when nothing runs on the data folder (PARLEY_DATA).

examples:
  parley status
  parley status --json | jq -r '.[] | select(.name == "kafka") | .address'
""",
    "token": """\
It is signed with PARLEY_JWT_SECRET, or with the secret in the data folder (PARLEY_DATA).

examples:
  parley token --user ada
  curl -H "Authorization: Bearer $(parley token --user ada)" http://127.0.0.1:8080/v1/assistants
""",
    "chat": """\
In the chat, /help says what else can be typed. Without a terminal, each line of the standard input
is a message, and the replies are written to the standard output.

examples:
  parley chat
  parley chat --assistant coder
  echo "What is an event log?" | parley chat --user ada > answer.md
""",
}


def parser() -> argparse.ArgumentParser:
    """Its result's `command` is what was typed after `parley`, such as up or backup."""
    whole = argparse.ArgumentParser(
        prog="parley",
        description="Parley on one machine: run it, look at it, chat with it, keep what it has.",
        epilog="`parley COMMAND --help` tells more of each, with examples.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_status(commands)
    _add_token(commands)
    _add_chat(commands)
    add_log(commands)
    add_rebuild(commands)
    add_backup(commands)
    add_people(commands)
    return whole


def _add_up(commands: Commands) -> None:
    up = _command(commands, "up", "run everything in the foreground, until Ctrl-C")
    up.add_argument(
        "--replicas",
        type=replicas,
        default={},
        metavar="SERVICE=N,…",
        help=f"run several processes of a service (1 to {MOST_REPLICAS}): {', '.join(SERVICES)}. "
        "Each has an address of its own (`parley status`); all of a service share one more, where "
        "they are called: the gateways share PARLEY_PORT.",
    )


def _add_status(commands: Commands) -> None:
    status = _command(commands, "status", "show the processes that run, and which are ready")
    status.add_argument("--json", action="store_true", help="as a JSON array, for programs")


def _add_token(commands: Commands) -> None:
    token = _command(commands, "token", "print a development token, and nothing else")
    token.add_argument("--user", required=True, metavar="U", help="the token's `sub`")
    token.add_argument("--tenant", metavar="T", help="the user's tenant (absent means `default`)")
    token.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help="what the user may do, such as assistants:write; may be given several times",
    )
    token.add_argument(
        "--hours",
        type=_hours,
        default=DEFAULT_HOURS,
        metavar="H",
        help=f"how long it is valid, 1 to {MOST_HOURS} (default {DEFAULT_HOURS}: 30 days)",
    )


def _add_chat(commands: Commands) -> None:
    chat = _command(commands, "chat", "chat in the terminal")
    chat.add_argument("--url", help="the gateway (default: the one that `parley up` runs)")
    chat.add_argument("--token", help="the bearer token (default: PARLEY_TOKEN, or one for --user)")
    chat.add_argument("--user", default=DEFAULT_USER, help=f"who chats (default {DEFAULT_USER})")
    chat.add_argument("--assistant", metavar="ID", help="with whom; else you are asked")
    chat.add_argument("--session", metavar="ID", help="the session to go on with")


def _command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    return add_command(commands, name, summary, EPILOGS[name])


def replicas(text: str) -> dict[str, int]:
    """`gateway=2,inference=2` as a mapping."""
    found: dict[str, int] = {}
    for part in text.split(","):
        given = re.fullmatch(r"\s*([a-z-]+)=(\d{1,2})\s*", part)
        if given is None or given[1] not in SERVICES or not 1 <= int(given[2]) <= MOST_REPLICAS:
            raise argparse.ArgumentTypeError(
                f"it should look like gateway=2,inference=2, with {', '.join(SERVICES)} and "
                f"numbers from 1 to {MOST_REPLICAS}"
            )
        found[given[1]] = int(given[2])
    return found


def _hours(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_HOURS):
        raise argparse.ArgumentTypeError(f"it should be a whole number from 1 to {MOST_HOURS}")
    return int(text)
