"""`erase-user`: all that one person has is erased, now and for good."""

import argparse
import asyncio
import sys

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import UnknownMasterKey
from parley_core.crypto.sealing import UnsealError
from parley_core.http.errors import Unavailable
from parley_core.runtime.settings import load
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_session.application.command_executor import Caller, CommandExecutor, utc_now
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.operations.log_scan import Progress
from parley_session.settings import EraseUserSettings
from parley_session.storage.event_store import EventStore
from parley_session.storage.session_index import SessionIndex

_AT_ONCE = 100
_OPERATOR = Caller(Principal("parley", "operator"), "erase-user", system=True)

_COUNTS = """
SELECT count(*) FILTER (WHERE NOT held) AS erasable, count(*) FILTER (WHERE held) AS held
FROM sessions WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    added = commands.add_parser("erase-user", help="erase all that a person has, then end")
    added.add_argument("--user", required=True)
    added.add_argument("--tenant", default="default")
    added.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings."""
    settings = load(EraseUserSettings)
    person = Principal(arguments.tenant, arguments.user)
    return asyncio.run(erase_user(settings, person, sure=arguments.yes))


async def erase_user(settings: EraseUserSettings, person: Principal, *, sure: bool) -> int:
    """The exit code: 1 when anything was left, be it under a legal hold.

    The relay of a session that serves publishes what happened.
    """
    pool = open_pool(
        settings.session_database,
        max_connections=1,
        timeout_seconds=settings.session_store_seconds,
        application_name="parley-erase-user",
    )
    async with pool:
        [(erasable, held)] = await pool.fetch(_COUNTS, person.tenant, person.user)
        print(_told(person, erasable, held))
        if erasable and not (sure or _confirmed()):
            print("Nothing was erased.")
            return 1
        return await _erase(pool, settings, person, erasable)


async def _erase(pool: Pool, settings: EraseUserSettings, person: Principal, total: int) -> int:
    store = EventStore(pool, settings.master_key, most_sessions_kept=1)
    erasing = SessionDeletion(
        CommandExecutor(store, attempts=settings.session_append_attempts),
        SessionIndex(pool),
        undelete_days=lambda _, __: 0,
        clock=utc_now,
    )
    progress, has_more, held = Progress("Erased", total), True, 0
    try:
        while has_more:
            done = await erasing.erase_all_of(
                person, "operator", _OPERATOR, most=_AT_ONCE, seconds=settings.session_store_seconds
            )
            has_more, held = done.has_more, done.held
            progress.add(done.erased)
    except (Unavailable, UnknownMasterKey, UnsealError) as trouble:
        print(f"Erased {progress.done:,} sessions, then: {trouble}.", file=sys.stderr)
        return 1
    print(f"Erased {progress.done:,} sessions.")
    return 1 if held else 0


def _told(person: Principal, erasable: int, held: int) -> str:
    left = f", and {held:,} more that a legal hold keeps: these are left" if held else ""
    return f"{person.user} of tenant {person.tenant} has {erasable:,} sessions{left}."


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        print("Nobody can be asked here: --yes says that you are sure.", file=sys.stderr)
        return False
    try:
        return input("Erase them for good? [yes/no] ").strip().lower() == "yes"
    except EOFError:
        return False
