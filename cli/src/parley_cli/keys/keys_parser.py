"""Arguments of `parley keys`."""

import argparse
from pathlib import Path

from parley_cli.command_parser import Subparsers, add_command


def add_keys(commands: Subparsers) -> None:
    """`keys_command` in the result is status, rewrap, rotate or signing."""
    summary = "show and replace the master keys that wrap stored keys, and make signing keys"
    keys = add_command(commands, "keys", summary, "keys.command:keys")
    key_commands = keys.add_subparsers(dest="keys_command", required=True, metavar="COMMAND")
    key_commands.add_parser(
        "status", help="count the stored keys by the master key that wraps them"
    )
    rewrap = key_commands.add_parser("rewrap", help="wrap all stored keys with the active one")
    rewrap.add_argument("--to", required=True, metavar="ID", help="ID of the active master key")
    rewrap.add_argument(
        "--dry-run", action="store_true", help="unwrap the keys, but change nothing"
    )
    rewrap.add_argument(
        "--all", action="store_true", help="also keys that it wraps, such as with an older version"
    )
    rotate = key_commands.add_parser("rotate", help="do or show the next step of a replacement")
    rotate.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    signing = key_commands.add_parser("signing", help="make the keys that sign internal calls")
    signing.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="folder of the keys, for you alone"
    )
    signing.add_argument(
        "--next",
        type=_calling_service,
        metavar="SERVICE",
        help="make another key of this service (gateway, inference, history or cli), and add it "
        "to the public keys in the folder",
    )


def _calling_service(text: str) -> str:
    # Imported here and not by every command.
    from parley_core.auth.service_keys import CALLING_SERVICES

    if text not in CALLING_SERVICES:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(CALLING_SERVICES)}")
    return text
