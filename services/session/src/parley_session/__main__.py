"""`python -m parley_session serve`, and the commands that make, check and mend what it needs."""

import argparse
import asyncio
import sys

import asyncpg

from parley_core.http.server import configure_logging, serve
from parley_core.log import LogError, ensure_topic
from parley_core.runtime.settings import InvalidSettings, load
from parley_core.storage.migrations import (
    MigrationError,
    migrate_database,
    require_database_migrated,
    run_with_connection,
)
from parley_session.app import assistants_relay_of, create_app, relay_of
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.operations import erase_user
from parley_session.operations.backup import command as backup
from parley_session.operations.backup.archive import BackupError
from parley_session.operations.log.reconcile import reconcile
from parley_session.operations.log.restore import restore_log
from parley_session.operations.log.verify import verify_log
from parley_session.settings import (
    LogCommandSettings,
    MigrateSettings,
    SessionSettings,
    TopicSettings,
)
from parley_session.storage.migrations import MIGRATIONS

_QUOTING_TROUBLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_STARTING_TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


def main() -> int:
    arguments = _arguments()
    configure_logging()
    try:
        match arguments.command:
            case "migrate":
                _migrate(load(MigrateSettings))
            case "create-topic":
                asyncio.run(_create_topic(load(TopicSettings)))
            case "verify-log":
                return asyncio.run(verify_log(_checked(load(LogCommandSettings))))
            case "restore-log":
                return asyncio.run(_restore_log(_checked(load(LogCommandSettings))))
            case "reconcile":
                settings = _checked(load(LogCommandSettings))
                return asyncio.run(reconcile(settings, dry_run=arguments.dry_run))
            case "backup" | "verify-backup" | "restore":
                return backup.run(arguments)
            case "erase-user":
                return erase_user.run(arguments)
            case _:
                _serve(load(SessionSettings))
    except InvalidSettings as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except (MigrationError, LogError, BackupError) as refused:
        print(refused, file=sys.stderr)
        return 1
    except _QUOTING_TROUBLE as trouble:
        # Its class alone: such a sentence may quote a row.
        print(f"The event store failed: {type(trouble).__name__}.", file=sys.stderr)
        return 1
    except _STARTING_TROUBLE as trouble:
        print(
            f"The event store cannot be used: {trouble or type(trouble).__name__}.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m parley_session", description="The write side of Parley."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "migrate", help="bring the database to this version, with its assistants, then end"
    )
    commands.add_parser("create-topic", help="make the topics of the log, or check them, then end")
    commands.add_parser("serve", help="serve until SIGTERM, and relay the outbox to the log")
    commands.add_parser("verify-log", help="compare the event store with the log, then end")
    commands.add_parser("restore-log", help="fill the topics with what they lack, then end")
    reconciling = commands.add_parser(
        "reconcile", help="take back what only the log has, before writes open, then end"
    )
    reconciling.add_argument("--dry-run", action="store_true", help="say what would be taken back")
    backup.add_commands(commands)
    erase_user.add_command(commands)
    return parser.parse_args()


def _checked(settings: LogCommandSettings) -> LogCommandSettings:
    require_database_migrated(settings.session_database, MIGRATIONS)
    return settings


def _migrate(settings: MigrateSettings) -> None:
    definitions = read_assistants(settings.assistants)
    for migration in migrate_database(settings.session_database, MIGRATIONS):
        print(f"applied {migration.number:04} {migration.name}")
    changed = run_with_connection(
        settings.session_database, lambda connection: seed_assistants(connection, definitions)
    )
    if changed:
        print(f"{changed} assistants are now as their file says")


async def _create_topic(settings: TopicSettings) -> None:
    for spec in (settings.topic, settings.assistants_topic):
        await ensure_topic(settings.brokers, spec)
        print(f"{spec.name} is ready; partitions: {spec.partitions}")


async def _restore_log(settings: LogCommandSettings) -> int:
    topics = [
        (settings.topic, relay_of(settings)),
        (settings.assistants_topic, assistants_relay_of(settings)),
    ]
    return await restore_log(settings, topics)


def _serve(settings: SessionSettings) -> None:
    app = create_app(settings)
    require_database_migrated(settings.session_database, MIGRATIONS)
    serve(
        app,
        host=settings.session_host,
        port=settings.session_port,
        shared_port=settings.shared_port,
        drain_seconds=settings.session_drain_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
