"""`python -m parley_session migrate | create-topic | serve`."""

import argparse
import asyncio
import sys

import asyncpg

from parley_core.log import LogError, TopicSpec, ensure_topic
from parley_core.migrations import (
    MigrationRefused,
    migrate_database,
    require_database_migrated,
)
from parley_core.server import configure_logging, serve
from parley_core.settings import SettingsWrong, load
from parley_session.app import create_app
from parley_session.migrations import MIGRATIONS
from parley_session.settings import DatabaseSettings, SessionSettings, TopicSettings

_STARTING_TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


def main() -> int:
    command = _arguments().command
    configure_logging()
    try:
        match command:
            case "migrate":
                _migrate(load(DatabaseSettings))
            case "create-topic":
                asyncio.run(_create_topic(load(TopicSettings)))
            case _:
                _serve(load(SessionSettings))
    except SettingsWrong as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except (MigrationRefused, LogError) as refused:
        print(refused, file=sys.stderr)
        return 1
    except _STARTING_TROUBLE as trouble:
        print(
            f"The event store cannot be used: {trouble or type(trouble).__name__}.", file=sys.stderr
        )
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m parley_session", description="The write side of Parley."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database to this version, then end")
    commands.add_parser("create-topic", help="make the topic of the log, or check it, then end")
    commands.add_parser("serve", help="serve until SIGTERM, and relay the outbox to the log")
    return parser.parse_args()


def _migrate(settings: DatabaseSettings) -> None:
    for migration in migrate_database(settings.session_database, MIGRATIONS):
        print(f"applied {migration.number:04} {migration.name}")


async def _create_topic(settings: TopicSettings) -> None:
    spec = TopicSpec(
        settings.relay_topic,
        settings.topic_partitions,
        settings.topic_replication,
        settings.topic_min_isr,
    )
    await ensure_topic(settings.brokers, spec)
    print(f"{spec.name} is ready, with {spec.partitions} partitions")


def _serve(settings: SessionSettings) -> None:
    app = create_app(settings)
    require_database_migrated(settings.session_database, MIGRATIONS)
    serve(
        app,
        host=settings.session_host,
        port=settings.session_port,
        drain_seconds=settings.session_drain_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
