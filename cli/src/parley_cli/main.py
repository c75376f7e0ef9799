"""What `parley` does, from what was typed to the exit code."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from parley_cli.parser import parser
from parley_cli.settings import DataSettings, InvalidSettings, TokenSettings, load
from parley_cli.stack.dev_tokens import SecretNotFound, development_token
from parley_cli.stack.secret_store import SecretLost

# What one command alone needs is imported when it runs: `parley token` should be instant.


def run(arguments: Sequence[str] | None) -> int:
    chosen = parser().parse_args(arguments)
    try:
        return _run(chosen)
    except InvalidSettings as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except (SecretNotFound, SecretLost) as missing:
        print(missing, file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace) -> int:
    match chosen.command:
        case "up":
            from parley_cli.stack.up.command import up

            return up(chosen.replicas)
        case "status":
            from parley_cli.stack.status import status

            return status(load(DataSettings).data, as_json=chosen.json)
        case "token":
            return _print_token(chosen)
        case "log":
            from parley_cli.log.command import log

            return log(chosen)
        case "rebuild":
            from parley_cli.log.command import rebuild

            return rebuild(chosen)
        case "backup" | "verify-backup" | "restore":
            from parley_cli.backup.command import backup

            return backup(chosen)
        case "export":
            from parley_cli.user_data.export import export

            return export(chosen)
        case "erase-user":
            from parley_cli.user_data.erase_user import erase_user

            return erase_user(chosen)
        case _:
            from parley_cli.chat.command import chat

            return chat(
                url=chosen.url,
                token=chosen.token,
                user=chosen.user,
                assistant=chosen.assistant,
                session=chosen.session,
            )


def _print_token(chosen: argparse.Namespace) -> int:
    token = development_token(
        load(TokenSettings),
        user=chosen.user,
        tenant=chosen.tenant,
        scopes=chosen.scope,
        hours=chosen.hours,
        now=datetime.now(UTC),
    )
    print(token)
    return 0
