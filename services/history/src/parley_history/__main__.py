"""Command line of the history service: `python -m parley_history <command>`."""

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from parley_core.log import LogError
from parley_core.process.exit_codes import INVALID_SETTINGS, exit_code
from parley_core.process.process_state import ProcessState
from parley_core.runtime.safe_logging import (
    configure_logging,
    log_unexpected_error,
    report_failure,
)
from parley_core.runtime.settings import InvalidSettings, load
from parley_core.storage.database_start import wait_until_migrated
from parley_core.storage.migrations import (
    MigrationError,
    run_with_connection,
)
from parley_history.operations.dead_letters import arguments as dead_letters_arguments
from parley_history.operations.dead_letters import command as dead_letters_command
from parley_history.operations.rebuild import command as rebuild_command
from parley_history.projection.watchdog import ProjectorStalled
from parley_history.storage.database import Connection, MigrateSettings
from parley_history.storage.database_errors import DATABASE_ERRORS
from parley_history.storage.migrations import migrate_history, require_migrated_history

if TYPE_CHECKING:
    from parley_history.settings import ProjectSettings, ServeSettings

log = logging.getLogger(__name__)

# Reads take milliseconds; an export that runs longer is interrupted and recognisably incomplete.
SERVE_DRAIN_SECONDS = 3
PROJECTOR_DRAIN_SECONDS = 1


def main() -> int:
    arguments = _arguments()
    try:
        configure_logging(f"history-{arguments.command}")
        match arguments.command:
            case "migrate":
                _migrate(load(MigrateSettings))
            case "project":
                return _project()
            case "rebuild" | "verify":
                return rebuild_command.run(arguments)
            case "dead-letters":
                return dead_letters_command.run(arguments)
            case _:
                _serve()
    except InvalidSettings as error:
        report_failure(error)
        return INVALID_SETTINGS
    except MigrationError as error:
        report_failure(error)
        return 1
    except DATABASE_ERRORS as error:
        report_failure(f"Database unavailable: {error or type(error).__name__}.")
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m parley_history", description="The read side of Parley."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="apply pending migrations and exit")
    commands.add_parser("project", help="project the log into the read model until SIGTERM")
    commands.add_parser("serve", help="serve queries over HTTP until SIGTERM")
    rebuild_command.add_parsers(commands)
    dead_letters_arguments.add_parsers(commands)
    return parser.parse_args()


def _migrate(settings: MigrateSettings) -> None:
    database = settings.database
    roles = {"runtime": database.runtime_role, "reader": database.reader_role}
    for migration in run_with_connection(
        database.url, lambda connection: migrate_history(connection, roles)
    ):
        print(f"applied {migration.number:04} {migration.name}")


def _serve() -> None:
    # Imported here, for half a second: a maintenance command needs no web server.
    from parley_core.http.draining_server import Hooks
    from parley_core.http.server import serve
    from parley_core.tracing.setup import configure_tracing
    from parley_history.app import create_app
    from parley_history.settings import ServeSettings

    settings = load(ServeSettings)
    configure_tracing("history-serve")
    app = create_app(settings)
    serve(
        app,
        app.state.monitor,
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        shared_port=settings.shared_port,
        settings=settings.server,
        tls=settings.tls,
        drain_seconds=SERVE_DRAIN_SECONDS,
        hooks=Hooks(prepare=_wait_for_database(settings, "reader", app.state.monitor.state)),
    )


def _project() -> int:
    from parley_core.http.draining_server import Hooks
    from parley_core.http.server import serve
    from parley_core.tracing.setup import configure_tracing
    from parley_history.projector_app import create_projector_app
    from parley_history.settings import ProjectSettings

    settings = load(ProjectSettings)
    configure_tracing("history-project")
    app = create_projector_app(settings)
    serve(
        app,
        app.state.monitor,
        host=settings.projector.host,
        port=None,
        management_port=settings.projector.management_port,
        settings=settings.server,
        drain_seconds=PROJECTOR_DRAIN_SECONDS,
        hooks=Hooks(prepare=_wait_for_database(settings, "runtime", app.state.monitor.state)),
    )
    match app.state.failure:
        case None:
            return 0
        case ProjectorStalled() as failure:
            report_failure(failure)
        case LogError() as failure:
            servers = settings.kafka.bootstrap_servers
            report_failure(
                f"{failure} Check that Kafka at {servers} is running and the topic exists."
            )
        case error:
            log_unexpected_error(log, "projector failed", error)
    return 1


def _wait_for_database(
    settings: "ServeSettings | ProjectSettings", role: str, state: ProcessState
) -> Callable[[], Awaitable[None]]:
    async def require(connection: Connection) -> None:
        await require_migrated_history(connection, role)

    async def prepare() -> None:
        await wait_until_migrated(
            settings.database.url,
            require,
            state,
            migration_wait_seconds=settings.migration_wait_seconds,
        )

    return prepare


if __name__ == "__main__":
    sys.exit(exit_code(main))
