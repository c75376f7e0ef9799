"""The program `python -m parley_history`: the read side of Parley."""

import argparse
import logging
import sys

from parley_core.log import LogError
from parley_core.runtime.safe_logging import configure_logging, log_unexpected_error
from parley_core.runtime.settings import InvalidSettings, load
from parley_core.storage.migrations import (
    MigrationError,
    require_database_migrated,
    run_with_connection,
)
from parley_history.operations.dead_letters import arguments as dead_letters_arguments
from parley_history.operations.dead_letters import command as dead_letters_command
from parley_history.operations.rebuild import command as rebuild_command
from parley_history.projection.watchdog import ProjectorStalled
from parley_history.settings import ProjectSettings, ServeSettings
from parley_history.storage.database import DatabaseCommandSettings
from parley_history.storage.database_errors import DATABASE_ERRORS
from parley_history.storage.migrations import MIGRATIONS, migrate_history

log = logging.getLogger(__name__)

# Reads take milliseconds; an export that runs longer is interrupted and recognisably incomplete.
SERVE_DRAIN_SECONDS = 3
PROJECTOR_DRAIN_SECONDS = 1


def main() -> int:
    arguments = _arguments()
    configure_logging()
    try:
        match arguments.command:
            case "migrate":
                _migrate(load(DatabaseCommandSettings).database.url)
            case "project":
                return _project(load(ProjectSettings), migrate=arguments.migrate)
            case "rebuild" | "verify":
                return rebuild_command.run(arguments)
            case "dead-letters":
                return dead_letters_command.run(arguments)
            case _:
                _serve(load(ServeSettings), migrate=arguments.migrate)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    except DATABASE_ERRORS as error:
        print(f"Database unavailable: {error or type(error).__name__}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m parley_history", description="The read side of Parley."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="apply pending migrations and exit")
    project = commands.add_parser(
        "project", help="project the log into the read model until SIGTERM"
    )
    serve = commands.add_parser("serve", help="serve queries over HTTP until SIGTERM")
    for command in (project, serve):
        command.add_argument("--migrate", action="store_true", help="`migrate` first")
    rebuild_command.add_parsers(commands)
    dead_letters_arguments.add_parsers(commands)
    return parser.parse_args()


def _migrate(database_url: str) -> None:
    for migration in run_with_connection(database_url, migrate_history):
        print(f"applied {migration.number:04} {migration.name}")


def _prepare_database(database_url: str, *, migrate: bool) -> None:
    """Raises MigrationError if a migration fails, or is pending without `migrate`."""
    if migrate:
        _migrate(database_url)
    else:
        require_database_migrated(database_url, MIGRATIONS)


def _serve(settings: ServeSettings, *, migrate: bool) -> None:
    # Imported here, for half a second: a maintenance command needs no web server.
    from parley_core.http.server import serve
    from parley_history.app import create_app

    _prepare_database(settings.database.url, migrate=migrate)
    app = create_app(settings)
    serve(
        app,
        host=settings.host,
        port=settings.port,
        shared_port=settings.shared_port,
        drain_seconds=SERVE_DRAIN_SECONDS,
    )


def _project(settings: ProjectSettings, *, migrate: bool) -> int:
    from parley_core.http.server import serve
    from parley_history.projector_app import create_projector_app

    _prepare_database(settings.database.url, migrate=migrate)
    app = create_projector_app(settings)
    serve(
        app,
        host=settings.projector.host,
        port=settings.projector.port,
        drain_seconds=PROJECTOR_DRAIN_SECONDS,
    )
    match app.state.failure:
        case None:
            return 0
        case ProjectorStalled() as failure:
            print(failure, file=sys.stderr)
        case LogError() as failure:
            servers = settings.kafka.bootstrap_servers
            print(
                f"{failure} Check that Kafka at {servers} is running and the topic exists.",
                file=sys.stderr,
            )
        case error:
            log_unexpected_error(log, "projector failed", error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
