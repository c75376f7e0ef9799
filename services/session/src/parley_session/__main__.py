"""Command line of the session service: `python -m parley_session <command>`."""

import argparse
import asyncio
import sys

import asyncpg

from parley_core.log import LogError, ensure_topic
from parley_core.process.exit_codes import INVALID_SETTINGS, exit_code
from parley_core.runtime.safe_logging import configure_logging, report_failure
from parley_core.runtime.settings import InvalidSettings, load
from parley_core.storage.database_start import wait_until_migrated
from parley_core.storage.migrations import (
    MigrationError,
    load_migrations,
    migrate_database,
    require_database_migrated,
    require_migrated,
    run_with_connection,
)
from parley_session.application.assistants.definitions_file import read_assistants
from parley_session.application.assistants.seeding import seed_assistants
from parley_session.key_management.key_wrapper import KeyServiceUnavailable
from parley_session.operations import append_simulated, erase_user, recount_costs
from parley_session.operations.backup import command as backup
from parley_session.operations.backup.archive import BackupError
from parley_session.operations.log.reconcile import reconcile
from parley_session.operations.log.restore import restore_log
from parley_session.operations.log.verify import verify_log
from parley_session.operations.log.verify_audit import verify_audit
from parley_session.operations.master_keys import command as master_keys
from parley_session.relay.outbox_sql import (
    API_KEYS_OUTBOX,
    ASSISTANTS_OUTBOX,
    AUDIT_OUTBOX,
    SESSIONS_OUTBOX,
)
from parley_session.settings import (
    CreateTopicSettings,
    LogCommandSettings,
    MigrateSettings,
    SessionSettings,
)
from parley_session.storage.database import Connection
from parley_session.storage.database_errors import DATABASE_ERRORS
from parley_session.storage.keys.wrapped_key_counts import require_master_keys
from parley_session.storage.migrations import MIGRATIONS
from parley_session.storage.migrations.runtime_rights import (
    grant_runtime_rights,
    require_runtime_rights,
)
from parley_session.wiring import new_relay

# Their messages may quote a row.
_QUOTING_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


def main() -> int:
    arguments = _parser().parse_args()
    try:
        configure_logging("session")
        return _run(arguments)
    except InvalidSettings as error:
        report_failure(error)
        return INVALID_SETTINGS
    except (MigrationError, LogError, BackupError) as error:
        report_failure(error)
        return 1
    except KeyServiceUnavailable as error:
        report_failure(f"Stopped: {error}.")
        return 1
    except _QUOTING_ERRORS as error:
        report_failure(f"The event store failed: {type(error).__name__}.")
        return 1
    except DATABASE_ERRORS as error:
        reason = str(error) or type(error).__name__
        report_failure(f"The event store is unavailable: {reason}.")
        return 1


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "migrate":
            _migrate(load(MigrateSettings))
        case "create-topic":
            asyncio.run(_create_topics(load(CreateTopicSettings)))
        case "verify-log":
            return asyncio.run(verify_log(_load_log_settings()))
        case "verify-audit":
            return asyncio.run(verify_audit(_load_log_settings()))
        case "restore-log":
            return asyncio.run(_restore_log(_load_log_settings()))
        case "reconcile":
            return asyncio.run(reconcile(_load_log_settings(), dry_run=arguments.dry_run))
        case "backup" | "verify-backup" | "restore":
            return backup.run(arguments)
        case "erase-user":
            return erase_user.run(arguments)
        case "keys":
            return master_keys.run(arguments)
        case "recount-costs":
            return recount_costs.run(arguments)
        case "append-simulated":
            return append_simulated.run(arguments)
        case _:
            _serve(load(SessionSettings))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m parley_session", description="Parley's session service: the write side."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "migrate", help="apply pending migrations, seed the shared assistants and exit"
    )
    commands.add_parser("create-topic", help="create the Kafka topics, or check them, and exit")
    commands.add_parser("serve", help="serve the internal API and relay the outbox to Kafka")
    commands.add_parser("verify-log", help="compare the event store with the log and exit")
    commands.add_parser(
        "verify-audit", help="check the chain of the audit trail in store and log and exit"
    )
    commands.add_parser("restore-log", help="republish events missing from the log and exit")
    reconcile_parser = commands.add_parser(
        "reconcile", help="import events that exist only in the log (run before serving) and exit"
    )
    reconcile_parser.add_argument(
        "--dry-run", action="store_true", help="only report what would be imported"
    )
    backup.add_commands(commands)
    erase_user.add_command(commands)
    master_keys.add_commands(commands)
    recount_costs.add_command(commands)
    append_simulated.add_command(commands)
    return parser


def _load_log_settings() -> LogCommandSettings:
    settings = load(LogCommandSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    return settings


def _migrate(settings: MigrateSettings) -> None:
    definitions = read_assistants(settings.assistants_path)
    for migration in migrate_database(settings.database.url, MIGRATIONS):
        print(f"applied {migration.number:04} {migration.name}")
    if role := settings.database.runtime_role:
        run_with_connection(
            settings.database.url, lambda connection: grant_runtime_rights(connection, role)
        )
    changed = run_with_connection(
        settings.database.url, lambda connection: seed_assistants(connection, definitions)
    )
    if changed:
        print(f"seeded {changed} assistants")


async def _require_migrated(connection: Connection) -> None:
    await require_migrated(connection, load_migrations(MIGRATIONS))
    await require_runtime_rights(connection)


async def _create_topics(settings: CreateTopicSettings) -> None:
    topic = settings.topic
    for spec in topic.specs:
        await ensure_topic(settings.kafka.brokers, spec)
        print(f"{spec.name} is ready; partitions: {spec.partitions}")


async def _restore_log(settings: LogCommandSettings) -> int:
    topic = settings.topic
    topics = [
        (topic.sessions_spec, new_relay(settings, topic.sessions, SESSIONS_OUTBOX)),
        (topic.assistants_spec, new_relay(settings, topic.assistants, ASSISTANTS_OUTBOX)),
        (topic.api_keys_spec, new_relay(settings, topic.api_keys, API_KEYS_OUTBOX)),
        (topic.audit_spec, new_relay(settings, topic.audit, AUDIT_OUTBOX)),
    ]
    return await restore_log(settings, topics)


def _serve(settings: SessionSettings) -> None:
    # Imported here, for half a second: a maintenance command needs no web server.
    from parley_core.http.draining_server import Hooks
    from parley_core.http.server import serve
    from parley_core.tracing.setup import configure_tracing
    from parley_session.app import create_app

    configure_tracing("session")
    app = create_app(settings)
    monitor = app.state.monitor

    async def require_usable(connection: Connection) -> None:
        await _require_migrated(connection)
        await require_master_keys(connection, settings.master_key)

    async def prepare() -> None:
        await wait_until_migrated(
            settings.database.url,
            require_usable,
            monitor.state,
            migration_wait_seconds=settings.migration_wait_seconds,
        )

    serve(
        app,
        monitor,
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        shared_port=settings.shared_port,
        settings=settings.server,
        tls=settings.tls,
        drain_seconds=settings.drain_seconds,
        hooks=Hooks(prepare=prepare),
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
