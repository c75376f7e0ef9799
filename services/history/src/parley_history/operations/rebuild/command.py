"""The commands `python -m parley_history rebuild` and `verify`, and their final output."""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from parley_core.log import LogError, LogReader
from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_history.operations.rebuild import versions
from parley_history.operations.rebuild.coordinator import Coordinator
from parley_history.operations.rebuild.errors import RebuildAborted, VersionsDiffer
from parley_history.operations.rebuild.progress import progress_reporter
from parley_history.operations.rebuild.report import report_lines
from parley_history.operations.rebuild.settings import RebuildCommandSettings
from parley_history.operations.rebuild.version_comparison import checksum
from parley_history.operations.rebuild.worker.pool import WorkerPool
from parley_history.operations.rebuild.worker.worker import JOIN_TIMEOUT_SECONDS
from parley_history.storage.database import Connection, connect
from parley_history.storage.migrations import MIGRATIONS
from parley_history.storage.versions.schema import drop_version

_SERVER_SETTINGS = {**FAST_KEEPALIVES, "idle_in_transaction_session_timeout": "10s"}
_MAX_WORKERS = 64

# Arbitrary advisory-lock key, shared by all rebuilds and verifies of a database.
_TRY_LOCK = "SELECT pg_try_advisory_lock(8026370403459298404)"

Print = Callable[[str], None]


def add_parsers(subparsers: Any) -> None:
    """Add `rebuild` and `verify` to the subcommands of the program."""
    rebuild = subparsers.add_parser("rebuild", help="rebuild the read model from the log")
    rebuild.add_argument(
        "--rollback", action="store_true", help="activate the previous version instead"
    )
    rebuild.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap even if the new version differs from the live one",
    )
    verify = subparsers.add_parser("verify", help="compare the read model with the log")
    for command in (rebuild, verify):
        command.add_argument(
            "--workers",
            type=_worker_count,
            metavar="N",
            help="number of worker processes (default: one per core)",
        )


def run(arguments: argparse.Namespace) -> int:
    """Return the exit code. Raises InvalidSettings, MigrationError, DATABASE_ERRORS and
    KeyboardInterrupt.
    """
    settings = load(RebuildCommandSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    try:
        asyncio.run(_run(arguments, settings))
    except (RebuildAborted, LogError) as error:
        print(error, file=sys.stderr)
        return 1
    except asyncpg.PostgresError as error:
        # Only the class: the message of a database error may quote a row.
        name = type(error).__name__
        print(f"Database error: {name}. Run this command again to continue.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Run this command again to continue.", file=sys.stderr)
        raise
    return 0


async def _run(arguments: argparse.Namespace, settings: RebuildCommandSettings) -> None:
    lines = list[str]()
    try:
        async with _locked_connection(settings) as connection, _log(settings) as reader:
            with progress_reporter() as progress:
                coordinator = Coordinator(
                    connection,
                    reader,
                    WorkerPool(arguments.workers),
                    progress,
                    settings.rebuild,
                    accept_differences=arguments.command == "rebuild"
                    and arguments.accept_differences,
                )
                await _execute(arguments, connection, coordinator, lines.append)
    finally:
        # Printed after the line of the progress is gone, which would be written over them.
        print("\n".join(lines), end="\n" if lines else "")


async def _execute(
    arguments: argparse.Namespace,
    connection: Connection,
    coordinator: Coordinator,
    print_line: Print,
) -> None:
    if arguments.command == "verify":
        await _verify(connection, coordinator, print_line)
    elif arguments.rollback:
        await _roll_back(connection, coordinator, print_line)
    else:
        await _rebuild(connection, coordinator, print_line)


async def _rebuild(connection: Connection, coordinator: Coordinator, print_line: Print) -> None:
    started_at, live = time.monotonic(), await versions.active(connection)
    version = await coordinator.build()
    await _finish(connection, coordinator, live, version, print_line)
    seconds = time.monotonic() - started_at
    await _drop_versions_except(connection, version, live)
    print_line(
        f"version {version} is live: {coordinator.events:,} events in {seconds:.1f} s "
        f"({coordinator.events / seconds:,.0f} events/s), "
        f"checksum {await checksum(connection, version)}"
    )


async def _verify(connection: Connection, coordinator: Coordinator, print_line: Print) -> None:
    live, version = await versions.active(connection), await coordinator.build()
    await _finish(connection, coordinator, live, version, print_line, activate=False)
    await drop_version(connection, version)
    print_line("the read model equals the log")


async def _finish(
    connection: Connection,
    coordinator: Coordinator,
    live: int,
    version: int,
    print_line: Print,
    *,
    activate: bool = True,
) -> None:
    try:
        await coordinator.finish(version, activate=activate)
    except VersionsDiffer as differences:
        # Dropped, because the projection is likely to be fixed before the next run.
        await drop_version(connection, version)
        if activate:
            raise RebuildAborted(f"{differences}\nThe live version stays active.") from None
        raise
    finally:
        if coordinator.comparison:
            for line in report_lines(coordinator.comparison, live, version):
                print_line(line)


async def _roll_back(connection: Connection, coordinator: Coordinator, print_line: Print) -> None:
    live, earlier = await versions.active(connection), await versions.earlier(connection)
    if not earlier:
        raise RebuildAborted("There is no earlier version to roll back to.")
    # Records that cannot be applied are parked here too, as they were in the live version.
    await coordinator.finish(earlier[0], compare=False, park_failures=True)
    print_line(f"version {earlier[0]} is live again; version {live} is kept")


async def _drop_versions_except(connection: Connection, live: int, previous: int) -> None:
    for version in await versions.earlier(connection):
        if version not in (live, previous):
            await drop_version(connection, version)


@asynccontextmanager
async def _locked_connection(settings: RebuildCommandSettings) -> AsyncIterator[Connection]:
    """Open a connection that holds the rebuild lock; its statements may run for long."""
    connection = await connect(
        settings.database,
        "parley-rebuild",
        statement_timeout_seconds=None,
        server_settings=_SERVER_SETTINGS,
    )
    try:
        if not await connection.fetchval(_TRY_LOCK):
            raise RebuildAborted("Another rebuild or verify is running on this database.")
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def _log(settings: RebuildCommandSettings) -> AsyncIterator[LogReader]:
    reader = LogReader(settings.kafka.brokers, settings.topic)
    await reader.start(JOIN_TIMEOUT_SECONDS)
    try:
        yield reader
    finally:
        await reader.close()


def _worker_count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MAX_WORKERS}")
    return count
