"""Command line of `keys`: `status`, `rewrap` and `rotate`."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import TypeAlias

from parley_core.crypto.master_keys import MasterKeys
from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_session.key_management.key_wrapper import KeyServiceUnavailable
from parley_session.key_management.keyring import opened_keyring
from parley_session.operations.confirmation import is_confirmed
from parley_session.operations.master_keys.rewrap import Rewrap, RewrapAlreadyRunning
from parley_session.operations.operator_acts import operator_act
from parley_session.operations.progress import Progress
from parley_session.settings import KeysSettings
from parley_session.storage.audit.audit_store import append_records
from parley_session.storage.database import Connection, connect_for_maintenance
from parley_session.storage.keys.wrapped_key_counts import (
    DAMAGED,
    count_wrapped_keys,
    format_counts,
    missing_keys,
)
from parley_session.storage.migrations import MIGRATIONS

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Leaves a process that serves on the same core nine tenths of it. Across containers, their CPU
# shares decide instead.
_REWRAP_NICENESS = 10

_SETTING = "PARLEY_MASTER_KEY of every session process"
_NEW_KEY = """\
Every stored key is wrapped by {active}, the only master key. To replace it:
  1. Make a key and keep a copy of it elsewhere: openssl rand -base64 32
  2. Add it with an id of its own behind the first one, in {setting}: {active}:…,NEW:…
     Wait until all of them have it (10 s after a file has changed; else restart them).
  3. Put it first in all of them: NEW:…,{active}:…
  4. Run this command again."""
_REMOVE = """\
These master keys wrap none: {others}. Remove them from {setting}, and restart
the processes. Keep copies for as long as you keep backups from before the rewrap."""
_ACTIVATE_OR_REMOVE = """\
Every stored key is wrapped by {active}. If one of the other master keys is new ({others}),
put it first in {setting}, and run this command again. Else:
"""


def add_commands(commands: Commands) -> None:
    keys = commands.add_parser("keys", help="show and replace master keys, and exit")
    subcommands = keys.add_subparsers(dest="keys_command", required=True)
    subcommands.add_parser("status", help="count the stored keys by the master key that wraps them")
    rewrap = subcommands.add_parser("rewrap", help="wrap all keys with the active master key")
    rewrap.add_argument("--to", required=True, metavar="ID", help="id of the active master key")
    rewrap.add_argument("--dry-run", action="store_true", help="unwrap the keys, change nothing")
    rewrap.add_argument(
        "--all", action="store_true", help="also keys that it wraps, such as with an older version"
    )
    rotate = subcommands.add_parser("rotate", help="do the next step of replacing a master key")
    rotate.add_argument("--yes", action="store_true", help="skip the confirmation prompt")


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings, MigrationError."""
    settings = load(KeysSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: KeysSettings) -> int:
    connection = await connect_for_maintenance(
        settings.database, {"application_name": "parley-keys"}
    )
    try:
        match arguments.keys_command:
            case "status":
                return await _status(connection, settings.master_key)
            case "rewrap":
                return await _rewrap(
                    connection,
                    settings.master_key,
                    arguments.to,
                    every_key=arguments.all,
                    dry_run=arguments.dry_run,
                )
            case _:
                return await _rotate(connection, settings.master_key, confirmed=arguments.yes)
    finally:
        connection.terminate()


async def _status(connection: Connection, master_keys: MasterKeys) -> int:
    """1 if keys cannot be unwrapped."""
    counts = await count_wrapped_keys(connection)
    missing = missing_keys(counts, master_keys)
    rows = [("master key", "keys", "")]
    for key_id in sorted(
        master_keys.ids | counts.keys(), key=lambda each: _order(each, master_keys)
    ):
        rows.append((key_id, f"{counts.get(key_id, 0):,}", _state(key_id, counts, master_keys)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key_id, count, state in rows:
        print(f"{key_id:<{widths[0]}}  {count:>{widths[1]}}  {state}".rstrip())
    return 1 if missing or DAMAGED in counts else 0


def _order(key_id: str, master_keys: MasterKeys) -> tuple[bool, str]:
    return key_id != master_keys.active, key_id


def _state(key_id: str, counts: Mapping[str, int], master_keys: MasterKeys) -> str:
    if key_id == master_keys.active:
        return "active: wraps new keys"
    if key_id == DAMAGED:
        return "damaged: not wrapped keys"
    if key_id not in master_keys.ids:
        return "missing from PARLEY_MASTER_KEY: these keys cannot be unwrapped"
    if counts.get(key_id):
        return f"in use: `keys rewrap --to {master_keys.active}` before it is retired"
    return "may be retired, unless a process has it first or a backup needs it"


async def _rewrap(
    connection: Connection,
    master_keys: MasterKeys,
    to: str,
    *,
    every_key: bool = False,
    dry_run: bool = False,
) -> int:
    """0 if every key is wrapped by the active master key, or would be."""
    if to not in master_keys.ids:
        print(f"PARLEY_MASTER_KEY has no master key {to}.", file=sys.stderr)
        return 2
    if to != master_keys.active:
        # Processes would go on to wrap new keys with the other one.
        print(
            f"The active master key is {master_keys.active}: put {to} first in {_SETTING}, "
            "and run the command again.",
            file=sys.stderr,
        )
        return 2
    os.nice(_REWRAP_NICENESS)
    counts = await count_wrapped_keys(connection)
    label = "Unwrapped" if dry_run else "Rewrapped"
    left = 0 if every_key else counts.get(to, 0)
    progress = Progress(label, sum(counts.values()) - left)
    started = time.monotonic()
    try:
        async with opened_keyring(master_keys) as keyring:
            rewrap = Rewrap(connection, keyring, every_key=every_key, on_batch=progress.add)
            if not dry_run:
                # Before the first key: a rewrap that is killed is recorded, too.
                record = operator_act("rewrap", "master_keys.rewrapped", ("master_key", to))
                await append_records(connection, [record])
            result = await (rewrap.dry_run() if dry_run else rewrap.run())
    except RewrapAlreadyRunning as error:
        print(error, file=sys.stderr)
        return 1
    except KeyServiceUnavailable as error:
        print(f"Stopped: {error}. Run the command again to continue.", file=sys.stderr)
        return 1
    done, seconds = result.by_master_key.total(), time.monotonic() - started
    which = f" of {format_counts(result.by_master_key)}" if done else ""
    if dry_run:
        print(f"Would rewrap {done:,} keys with {to}{which}.")
    else:
        print(f"Rewrapped {done:,} keys with {to}{which} in {seconds:,.1f} s.")
    if result.unknown:
        print(
            "Not rewrapped, as PARLEY_MASTER_KEY lacks their master keys: "
            f"{format_counts(result.unknown)}.",
            file=sys.stderr,
        )
    if result.damaged:
        print(
            f"Not rewrapped, as they cannot be unwrapped: {result.damaged:,} keys, such as of "
            f"{', '.join(result.first_damaged)}.",
            file=sys.stderr,
        )
    if result.unknown or result.damaged:
        return 1
    return 0 if dry_run else await _verify(connection, to)


async def _verify(connection: Connection, to: str) -> int:
    counts = await count_wrapped_keys(connection)
    if others := {key_id: count for key_id, count in counts.items() if key_id != to}:
        print(
            f"Other master keys have wrapped keys since: {format_counts(others)}. "
            f"Put {to} first in {_SETTING}, and run the command again.",
            file=sys.stderr,
        )
        return 1
    print(f"Every stored key is wrapped by {to}.")
    return 0


async def _rotate(connection: Connection, master_keys: MasterKeys, *, confirmed: bool) -> int:
    counts = await count_wrapped_keys(connection)
    if missing := missing_keys(counts, master_keys):
        print(
            f"PARLEY_MASTER_KEY lacks master keys that wrap stored keys: {format_counts(missing)}. "
            f"Add them behind the first one in {_SETTING}.",
            file=sys.stderr,
        )
        return 1
    active = master_keys.active
    others = sorted(master_keys.ids - {active})
    texts = {"active": active, "others": ", ".join(others), "setting": _SETTING}
    if wrapped_by_others := {each: counts[each] for each in others if each in counts}:
        print(f"{active} is active. Others wrap stored keys: {format_counts(wrapped_by_others)}.")
        question = f"Is {active} the first master key of every session process?"
        if not (confirmed or is_confirmed(question)):
            print("Nothing was changed.")
            return 1
        if code := await _rewrap(connection, master_keys, active):
            return code
        print(_REMOVE.format(**texts))
    elif others:
        print((_ACTIVATE_OR_REMOVE + _REMOVE).format(**texts))
    else:
        print(_NEW_KEY.format(**texts))
    return 0
