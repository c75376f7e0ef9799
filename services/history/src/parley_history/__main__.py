"""`python -m parley_history migrate | project | serve | rebuild | verify | dead-letters`."""

import argparse
import logging
import sys
import traceback

from parley_core.http.server import configure_logging, serve
from parley_core.log import LogError
from parley_core.runtime.settings import InvalidSettings, load
from parley_core.storage.migrations import (
    MigrationError,
    require_database_migrated,
    run_with_connection,
)
from parley_history.app import create_app
from parley_history.operations.dead_letters import arguments as dead_letters_arguments
from parley_history.operations.dead_letters import command as dead_letters_command
from parley_history.operations.rebuild import command as rebuild_command
from parley_history.projection.watchdog import ProjectorStalled
from parley_history.projector_app import create_projector_app
from parley_history.settings import DatabaseSettings, HistorySettings, ProjectorSettings
from parley_history.storage.database_errors import DATABASE_TROUBLE
from parley_history.storage.migrations import MIGRATIONS, migrate_history

log = logging.getLogger(__name__)

PROJECTOR_DRAIN_SECONDS = 1


def main() -> int:
    arguments = _arguments()
    configure_logging()
    try:
        match arguments.command:
            case "migrate":
                _migrate(load(DatabaseSettings))
            case "project":
                return _project(load(ProjectorSettings))
            case "rebuild" | "verify":
                return rebuild_command.run(arguments)
            case "dead-letters":
                return dead_letters_command.run(arguments)
            case _:
                _serve(load(HistorySettings))
    except InvalidSettings as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except MigrationError as refused:
        print(refused, file=sys.stderr)
        return 1
    except DATABASE_TROUBLE as trouble:
        print(
            f"The read model cannot be used: {trouble or type(trouble).__name__}.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m parley_history", description="The read side of Parley."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database to this version, then end")
    commands.add_parser("project", help="project the log into the database until SIGTERM")
    commands.add_parser("serve", help="answer queries until SIGTERM")
    rebuild_command.add_parsers(commands)
    dead_letters_arguments.add_parsers(commands)
    return parser.parse_args()


def _migrate(settings: DatabaseSettings) -> None:
    for migration in run_with_connection(settings.history_database, migrate_history):
        print(f"applied {migration.number:04} {migration.name}")


def _serve(settings: HistorySettings) -> None:
    require_database_migrated(settings.history_database, MIGRATIONS)
    app = create_app(settings)
    serve(
        app,
        host=settings.history_host,
        port=settings.history_port,
        shared_port=settings.shared_port,
        drain_seconds=settings.history_drain_seconds,
        on_shutdown=app.state.movement_streams.end,
    )


def _project(settings: ProjectorSettings) -> int:
    require_database_migrated(settings.history_database, MIGRATIONS)
    app = create_projector_app(settings)
    serve(
        app,
        host=settings.projector_host,
        port=settings.projector_port,
        drain_seconds=PROJECTOR_DRAIN_SECONDS,
    )
    match app.state.failure:
        case None:
            return 0
        case ProjectorStalled() as failure:
            print(failure, file=sys.stderr)
        case LogError() as failure:
            print(
                f"{failure} Is Kafka at {settings.kafka} up, and has the topic been made?",
                file=sys.stderr,
            )
        case surprise:
            # Without its message, which may quote what was projected.
            frames = "".join(traceback.format_tb(surprise.__traceback__))
            log.error("The projector failed: %s\n%s", type(surprise).__name__, frames)
    return 1


if __name__ == "__main__":
    sys.exit(main())
