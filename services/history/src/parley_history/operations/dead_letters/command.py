"""`python -m parley_history dead-letters list | show | retry | discard`."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_history.operations.dead_letters import repository as dead_letters
from parley_history.operations.dead_letters.arguments import Target
from parley_history.operations.dead_letters.formatting import as_json, line, visible, whole
from parley_history.operations.dead_letters.outcomes import Outcome, RetryOutcome
from parley_history.operations.dead_letters.repository import Group, Place, StoredDeadLetter
from parley_history.operations.dead_letters.retry_records import (
    NotDiscarded,
    NothingToRetry,
    discard,
    retry,
)
from parley_history.settings import DatabaseSettings
from parley_history.storage.migrations import MIGRATIONS
from parley_history.storage.projection_tables import Connection
from parley_history.storage.versions import active_version


def run(arguments: argparse.Namespace) -> int:
    """The code that the command ends with: 1 when it did not do what was asked."""
    settings = load(DatabaseSettings)
    require_database_migrated(settings.history_database, MIGRATIONS)
    try:
        return asyncio.run(_run(arguments, settings))
    except NothingToRetry:
        return _refused("There is no such dead letter.")
    except NotDiscarded as refused:
        return _refused(str(refused))
    except asyncpg.PostgresError as error:
        # Its class alone: a database's sentence may quote a row.
        return _refused(f"The read model failed: {type(error).__name__}. Try again.")


async def _run(arguments: argparse.Namespace, settings: DatabaseSettings) -> int:
    connection = await asyncpg.connect(
        settings.history_database,
        timeout=settings.history_database_seconds,
        command_timeout=settings.history_database_seconds,
        server_settings={"application_name": "parley-dead-letters"},
    )
    try:
        match arguments.dead_letters_command:
            case "list":
                return await _list(connection, arguments.limit, arguments.json)
            case "show":
                return await _show(connection, arguments.place)
            case "retry" if arguments.all:
                return await _retry_all(connection)
            case "retry":
                group, _ = await _group_of(connection, arguments.target)
                return _summed_up(_told(await retry(connection, group)))
            case _:
                group, only = await _group_of(connection, arguments.target)
                _summed_up(_told(await discard(connection, group, only, arguments.reason)))
                return 0
    finally:
        await connection.close(timeout=settings.history_database_seconds)


async def _list(connection: "Connection[asyncpg.Record]", limit: int, json: bool) -> int:
    async with active_version(connection):
        counts = await dead_letters.count(connection)
        letters = await dead_letters.list_letters(connection, limit)
    if json:
        print(as_json(letters, counts))
        return 0
    for letter in letters:
        print(line(letter))
    shown = f", {len(letters)} of them shown" if len(letters) < counts.letters else ""
    print(f"{counts.letters} dead letters{shown}; {counts.sessions} sessions are parked.")
    return 0


async def _show(connection: "Connection[asyncpg.Record]", place: Place) -> int:
    print(whole(await _found(connection, place)))
    return 0


async def _retry_all(connection: "Connection[asyncpg.Record]") -> int:
    async with active_version(connection):
        groups = await dead_letters.list_groups(connection)
    outcomes: list[Outcome] = []
    for group in groups:
        try:
            outcomes += _told(await retry(connection, group))
        except NothingToRetry:
            continue  # Someone else did it meanwhile.
    return _summed_up(outcomes)


def _told(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    for outcome in outcomes:
        error = f": {visible(outcome.error)}" if outcome.error else ""
        print(f"{outcome.place}  {outcome.became.value}{error}")
    return outcomes


def _summed_up(outcomes: Sequence[Outcome]) -> int:
    counts = Counter(outcome.became for outcome in outcomes)
    summary = ", ".join(f"{number} {became.name.lower()}" for became, number in counts.items())
    print(f"{len(outcomes)} dead letters: {summary}." if summary else "There are no dead letters.")
    return 1 if counts[RetryOutcome.PARKED] else 0


async def _group_of(
    connection: "Connection[asyncpg.Record]", target: Target
) -> tuple[Group, Place | None]:
    if isinstance(target, UUID):
        return Group(target), None
    return (await _found(connection, target)).group, target


async def _found(connection: "Connection[asyncpg.Record]", place: Place) -> StoredDeadLetter:
    async with active_version(connection):
        letter = await dead_letters.find(connection, place)
    if letter is None:
        raise NothingToRetry
    return letter


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
