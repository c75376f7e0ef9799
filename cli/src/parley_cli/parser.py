"""Argument parser of the `parley` command."""

import argparse
import re
from pathlib import Path

from parley_cli.command_parser import (
    REPEATABLE,
    Subparsers,
    add_command,
    days,
    limit,
    whole_number_up_to,
)
from parley_cli.keys.keys_parser import add_keys
from parley_cli.log.audit.audit_parser import add_audit
from parley_cli.log.log_parser import add_log
from parley_cli.stack.token_defaults import DEFAULT_HOURS, DEFAULT_USER
from parley_cli.stack.up.addresses import MAX_REPLICAS, SERVICES

MAX_HOURS = 24 * 366
MAX_WORKERS = 64


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
    _add_trust(commands)
    _add_status(commands)
    _add_token(commands)
    _add_chat(commands)
    add_log(commands)
    _add_rebuild(commands)
    _add_backup(commands, "backup", "--to", "back up the event store while the stack serves")
    _add_backup(commands, "verify-backup", "--from", "check that a backup is complete and intact")
    _add_backup(commands, "restore", "--from", "restore an event store from a backup")
    add_keys(commands)
    _add_api_keys(commands)
    _add_revoke(commands)
    add_audit(commands)
    _add_export(commands)
    _add_erase_user(commands)
    return parser


def _add_up(commands: Subparsers) -> None:
    summary = "run the whole stack in the foreground until Ctrl-C"
    up = add_command(commands, "up", summary, "stack.up.command:up")
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
        help="serve the chat page of this checkout; it is built during the start if web/ has "
        "changed",
    )
    up.add_argument(
        "--monitoring",
        action="store_true",
        help="also run Prometheus with the alerts of this checkout, and Grafana with its "
        "dashboards, where it is installed",
    )
    up.add_argument(
        "--tls",
        action="store_true",
        help="serve HTTPS, and call between services with certificates, of an authority that is "
        "created in the data folder (see `parley trust`)",
    )


def _add_trust(commands: Subparsers) -> None:
    summary = "make this machine trust the certificates of `parley up --tls`"
    trust = add_command(commands, "trust", summary, "stack.trust:trust")
    trust.add_argument("--print", action="store_true", help="print the commands, and run none")


def _add_status(commands: Subparsers) -> None:
    summary = "list the processes of the stack and whether each is ready"
    status = add_command(commands, "status", summary, "stack.status:status")
    status.add_argument("--json", action="store_true", help="output JSON")


def _add_token(commands: Subparsers) -> None:
    summary = "print a development token, and nothing else"
    token = add_command(commands, "token", summary, "stack.dev_tokens:print_token")
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
        type=whole_number_up_to(MAX_HOURS),
        default=DEFAULT_HOURS,
        metavar="H",
        help=f"lifetime in hours, 1 to {MAX_HOURS} (default {DEFAULT_HOURS}, which is 30 days)",
    )


def _add_chat(commands: Subparsers) -> None:
    chat = add_command(commands, "chat", "chat in the terminal", "chat.command:chat")
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


def _add_rebuild(commands: Subparsers) -> None:
    summary = "rebuild a read model from the log"
    rebuild = add_command(commands, "rebuild", summary, "log.command:rebuild")
    read_models = rebuild.add_subparsers(dest="read_model", required=True, metavar="READ_MODEL")
    history = add_command(read_models, "history", "rebuild history's read model from the log")
    history.add_argument(
        "--workers",
        type=whole_number_up_to(MAX_WORKERS),
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
    command = add_command(commands, name, summary, "backup.command:backup")
    command.add_argument(
        folder_option, dest="folder", required=True, metavar="DIR", help="folder of the backup"
    )
    command.add_argument(
        "--keys", metavar="DIR", help="folder of its keys (default: `keys` inside the backup)"
    )


def _add_api_keys(commands: Subparsers) -> None:
    """`api_keys_command` in the result is create, list or revoke."""
    summary = "create, list and revoke API keys of a user"
    keys = add_command(commands, "api-keys", summary, "api_keys.command:api_keys")
    key_commands = keys.add_subparsers(dest="api_keys_command", required=True, metavar="COMMAND")
    create = key_commands.add_parser("create", help="create a key and print it")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help=f"scope of the key, which the user must have; {REPEATABLE}",
    )
    create.add_argument(
        "--model",
        action="append",
        metavar="M",
        help=f"model that the key may use (default: all); {REPEATABLE}",
    )
    create.add_argument(
        "--limit",
        action="append",
        type=limit,
        default=[],
        metavar="NAME=N",
        help="limit of the key, such as requests_per_minute=60, of what the operator limits and no "
        f"higher than the user's own; {REPEATABLE}",
    )
    create.add_argument("--days", type=days, metavar="N", help="days until the key expires")
    listed = key_commands.add_parser("list", help="list the keys, newest first")
    revoke = key_commands.add_parser("revoke", help="revoke a key")
    revoke.add_argument("id", metavar="ID", help="ID of the key, as `list` shows it")
    for command in (create, listed, revoke):
        _add_user(command)
        command.add_argument("--url", help="base URL of the gateway (default: that of `parley up`)")


def _add_revoke(commands: Subparsers) -> None:
    """`revoke_command` in the result is token, user, tenant or list."""
    summary = "revoke tokens: one, or all of a user or a tenant"
    revoke = add_command(commands, "revoke", summary, "revocations.command:revoke")
    kinds = revoke.add_subparsers(dest="revoke_command", required=True, metavar="COMMAND")
    token = kinds.add_parser("token", help="revoke one token")
    token.add_argument("target", metavar="JTI", help="ID of the token (claim `jti`)")
    user = kinds.add_parser("user", help="revoke all tokens that a user has")
    user.add_argument("target", metavar="U", help="user ID, which begins with the issuer's name")
    tenant = kinds.add_parser("tenant", help="revoke all tokens and API keys of a tenant")
    tenant.add_argument("tenant", metavar="T", help="the tenant")
    listed = kinds.add_parser("list", help="list the revocations of a tenant, latest first")
    for command in (token, user, listed):
        command.add_argument("--tenant", metavar="T", help="tenant (default `default`)")
    for command in (token, user, tenant, listed):
        command.add_argument("--url", help="base URL of the gateway (default: that of `parley up`)")


def _add_export(commands: Subparsers) -> None:
    summary = "export all conversations of a user"
    export = add_command(commands, "export", summary, "user_data.export:export")
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
    erase = add_command(commands, "erase-user", summary, "user_data.erase_user:erase_user")
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
