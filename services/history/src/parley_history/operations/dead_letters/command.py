"""The command `python -m parley_history dead-letters list | show | retry | discard`."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_history.operations.dead_letters import repository
from parley_history.operations.dead_letters.arguments import Target
from parley_history.operations.dead_letters.formatting import (
    escape_unprintable,
    format_details,
    format_json,
    format_line,
)
from parley_history.operations.dead_letters.outcomes import LetterOutcome, RetryOutcome
from parley_history.operations.dead_letters.repository import (
    RecordLocation,
    RetryGroup,
    StoredDeadLetter,
)
from parley_history.operations.dead_letters.retry_records import (
    CannotDiscard,
    NoSuchDeadLetter,
    discard,
    retry,
)
from parley_history.storage.database import Connection, DeadLettersSettings, connect
from parley_history.storage.migrations import MIGRATIONS
from parley_history.storage.versions.schema import active_version


def run(arguments: argparse.Namespace) -> int:
    """Return the exit code: 1 when the command did not achieve its purpose."""
    settings = load(DeadLettersSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    try:
        return asyncio.run(_run(arguments, settings))
    except NoSuchDeadLetter:
        return _fail("There is no such dead letter.")
    except CannotDiscard as error:
        return _fail(str(error))
    except asyncpg.PostgresError as error:
        # Only the class: the message of a database error may quote a row.
        return _fail(f"Database error: {type(error).__name__}. Please retry.")


async def _run(arguments: argparse.Namespace, settings: DeadLettersSettings) -> int:
    timeout_seconds = settings.database.timeout_seconds
    connection = await connect(
        settings.database, "parley-dead-letters", statement_timeout_seconds=timeout_seconds
    )
    try:
        match arguments.dead_letters_command:
            case "list":
                return await _list(connection, arguments.limit, arguments.json)
            case "show":
                return await _show(connection, arguments.location)
            case "retry" if arguments.all:
                return await _retry_all(connection)
            case "retry":
                group, _ = await _group_of(connection, arguments.target)
                return _summarize(_print_outcomes(await retry(connection, group)))
            case _:
                group, only = await _group_of(connection, arguments.target)
                outcomes = await discard(connection, group, only, arguments.reason)
                _summarize(_print_outcomes(outcomes))
                return 0
    finally:
        await connection.close(timeout=timeout_seconds)


async def _list(connection: Connection, limit: int, json: bool) -> int:
    async with active_version(connection):
        counts = await repository.count(connection)
        letters = await repository.list_letters(connection, limit)
    if json:
        print(format_json(letters, counts))
        return 0
    for letter in letters:
        print(format_line(letter))
    shown = f" ({len(letters)} shown)" if len(letters) < counts.letters else ""
    print(f"dead letters: {counts.letters}{shown}, parked sessions: {counts.sessions}")
    return 0


async def _show(connection: Connection, location: RecordLocation) -> int:
    print(format_details(await _find(connection, location)))
    return 0


async def _retry_all(connection: Connection) -> int:
    async with active_version(connection):
        groups = await repository.list_groups(connection)
    outcomes: list[LetterOutcome] = []
    for group in groups:
        try:
            outcomes += _print_outcomes(await retry(connection, group))
        except NoSuchDeadLetter:
            continue  # Another process resolved it concurrently.
    return _summarize(outcomes)


def _print_outcomes(outcomes: Sequence[LetterOutcome]) -> Sequence[LetterOutcome]:
    for each in outcomes:
        error = f": {escape_unprintable(each.error)}" if each.error else ""
        print(f"{each.location}  {each.outcome.value}{error}")
    return outcomes


def _summarize(outcomes: Sequence[LetterOutcome]) -> int:
    counts = Counter(each.outcome for each in outcomes)
    summary = ", ".join(f"{number} {outcome.name.lower()}" for outcome, number in counts.items())
    print(f"{len(outcomes)} dead letters: {summary}" if summary else "There are no dead letters.")
    return 1 if counts[RetryOutcome.PARKED] else 0


async def _group_of(
    connection: Connection, target: Target
) -> tuple[RetryGroup, RecordLocation | None]:
    if isinstance(target, UUID):
        return RetryGroup(target), None
    return (await _find(connection, target)).group, target


async def _find(connection: Connection, location: RecordLocation) -> StoredDeadLetter:
    async with active_version(connection):
        letter = await repository.find(connection, location)
    if letter is None:
        raise NoSuchDeadLetter
    return letter


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
