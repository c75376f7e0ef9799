"""`python -m parley_history rebuild | verify`: what they do, and the sentences they end with."""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from parley_core.log import LogError, LogReader
from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_history.operations.rebuild import versions as candidates
from parley_history.operations.rebuild.coordinator import Coordinator
from parley_history.operations.rebuild.errors import RebuildAborted, VersionsDiffer
from parley_history.operations.rebuild.progress import tracking
from parley_history.operations.rebuild.report import lines_of
from parley_history.operations.rebuild.settings import RebuildSettings
from parley_history.operations.rebuild.version_comparison import checksum
from parley_history.operations.rebuild.worker.pool import WorkerPool
from parley_history.storage.migrations import MIGRATIONS
from parley_history.storage.projection_tables import Connection
from parley_history.storage.versions import drop_version

# One whose machine vanished must not keep projectors waiting, or the next rebuild out.
_CONNECTION_SETTINGS = {
    "application_name": "parley-rebuild",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "10s",
}
Tell = Callable[[str], None]

# Any constant does.
_TRY_LOCK = "SELECT pg_try_advisory_lock(8026370403459298404)"


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rebuild = commands.add_parser("rebuild", help="make the read model again from the log")
    rebuild.add_argument("--rollback", action="store_true", help="go back to the version before")
    rebuild.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap also when the new version does not hold what the live one does",
    )
    verify = commands.add_parser("verify", help="compare the read model with the fold of the log")
    for command in (rebuild, verify):
        command.add_argument(
            "--workers", type=_count, metavar="N", help="processes; one for each core by default"
        )


def run(arguments: argparse.Namespace) -> int:
    """The exit code. Raises InvalidSettings, MigrationError, and what comes of a database away."""
    settings = load(RebuildSettings)
    require_database_migrated(settings.history_database, MIGRATIONS)
    try:
        asyncio.run(_run(arguments, settings))
    except (RebuildAborted, LogError) as stopped:
        print(stopped, file=sys.stderr)
        return 1
    except asyncpg.PostgresError as trouble:
        # Its class alone: a database's sentence may quote a row.
        name = type(trouble).__name__
        print(f"The read model failed: {name}. Run this again: it goes on.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Run this again: it goes on.", file=sys.stderr)
        return 1
    return 0


async def _run(arguments: argparse.Namespace, settings: RebuildSettings) -> None:
    lines = list[str]()
    try:
        async with _alone(settings) as connection, _log(settings) as reader:
            with tracking() as tracker:
                work = Coordinator(
                    connection,
                    reader,
                    WorkerPool(arguments.workers),
                    tracker,
                    settings,
                    accepts=arguments.command == "rebuild" and arguments.accept_differences,
                )
                await _carry_out(arguments, connection, work, lines.append)
    finally:
        # Not before: a bar on the terminal would be drawn over them.
        print("\n".join(lines), end="\n" if lines else "")


async def _carry_out(
    arguments: argparse.Namespace,
    connection: "Connection[asyncpg.Record]",
    work: Coordinator,
    tell: Tell,
) -> None:
    if arguments.command == "verify":
        await _verify(connection, work, tell)
    elif arguments.rollback:
        await _roll_back(connection, work, tell)
    else:
        await _rebuild(connection, work, tell)


async def _rebuild(connection: "Connection[asyncpg.Record]", work: Coordinator, tell: Tell) -> None:
    began, live = time.monotonic(), await candidates.active(connection)
    version = await work.build()
    await _conclude(connection, work, live, version, tell)
    seconds = time.monotonic() - began
    await _keep_only(connection, version, live)
    tell(
        f"version {version} is live: {work.events:,} events in {seconds:.1f} s "
        f"({work.events / seconds:,.0f} events/s), checksum {await checksum(connection, version)}"
    )


async def _verify(connection: "Connection[asyncpg.Record]", work: Coordinator, tell: Tell) -> None:
    live, version = await candidates.active(connection), await work.build()
    await _conclude(connection, work, live, version, tell, activates=False)
    await drop_version(connection, version)
    tell("the read model is what the log says")


async def _conclude(
    connection: "Connection[asyncpg.Record]",
    work: Coordinator,
    live: int,
    version: int,
    tell: Tell,
    **how: bool,
) -> None:
    try:
        await work.conclude(version, **how)
    except VersionsDiffer:
        # Not kept to go on with: the projection is likely to be mended before the next run.
        await drop_version(connection, version)
        raise
    finally:
        if work.found:
            for line in lines_of(work.found, live, version):
                tell(line)


async def _roll_back(
    connection: "Connection[asyncpg.Record]", work: Coordinator, tell: Tell
) -> None:
    live, earlier = await candidates.active(connection), await candidates.before(connection)
    if not earlier:
        raise RebuildAborted("There is no earlier version to go back to.")
    # What can never be applied is parked there too, as it was in the live version.
    await work.conclude(earlier[0], compares=False, parks=True)
    tell(f"version {earlier[0]} is live again; version {live} is kept")


async def _keep_only(connection: "Connection[asyncpg.Record]", live: int, before: int) -> None:
    for version in await candidates.before(connection):
        if version not in (live, before):
            await drop_version(connection, version)


@asynccontextmanager
async def _alone(settings: RebuildSettings) -> AsyncIterator["Connection[asyncpg.Record]"]:
    """A connection that holds the lock of whoever builds a version."""
    connection = await asyncpg.connect(
        settings.history_database,
        timeout=settings.history_database_seconds,
        server_settings=_CONNECTION_SETTINGS,
    )
    try:
        if not await connection.fetchval(_TRY_LOCK):
            raise RebuildAborted("Another rebuild or verify is at work on this database.")
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def _log(settings: RebuildSettings) -> AsyncIterator[LogReader]:
    reader = LogReader(settings.brokers, settings.projector_topic)
    await reader.start(settings.rebuild_join_seconds)
    try:
        yield reader
    finally:
        await reader.close()


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 64:
        raise argparse.ArgumentTypeError("it should be a number from 1 to 64")
    return count
