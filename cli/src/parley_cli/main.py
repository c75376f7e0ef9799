"""Command dispatch: parses the arguments, runs the command and returns its exit code."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from parley_cli.parser import build_parser
from parley_cli.settings import DataSettings, InvalidSettings, TokenSettings, load
from parley_cli.stack.dev_tokens import SecretNotFound, development_token
from parley_cli.stack.secret_store import SecretLost

# Modules that only one command needs are imported when it runs: `parley token` must be instant.


def run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return _run_command(options)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    except (SecretNotFound, SecretLost) as error:
        print(error, file=sys.stderr)
        return 1


def _run_command(options: argparse.Namespace) -> int:
    match options.command:
        case "up":
            from parley_cli.stack.up.command import up

            return up(options.replicas)
        case "status":
            from parley_cli.stack.status import status

            return status(load(DataSettings).data, as_json=options.json)
        case "token":
            return _print_token(options)
        case "log":
            from parley_cli.log.command import log

            return log(options)
        case "rebuild":
            from parley_cli.log.command import rebuild

            return rebuild(options)
        case "backup" | "verify-backup" | "restore":
            from parley_cli.backup.command import backup

            return backup(options)
        case "export":
            from parley_cli.user_data.export import export

            return export(options)
        case "erase-user":
            from parley_cli.user_data.erase_user import erase_user

            return erase_user(options)
        case _:
            from parley_cli.chat.command import chat

            return chat(
                url=options.url,
                token=options.token,
                user=options.user,
                assistant=options.assistant,
                session=options.session,
            )


def _print_token(options: argparse.Namespace) -> int:
    token = development_token(
        load(TokenSettings),
        user=options.user,
        tenant=options.tenant,
        scopes=options.scope,
        hours=options.hours,
        now=datetime.now(UTC),
    )
    print(token)
    return 0
