"""Commands of the services, run as children with the locations of the stores and the log."""

from collections.abc import Mapping

from parley_cli.service_commands.foreground import SIGNAL_EXIT_BASE, run_in_foreground
from parley_cli.service_commands.locations import StackLocations
from parley_cli.settings import variables


def verify(locations: StackLocations) -> int:
    """Run both checks, even if the first one finds differences; 0 if neither does."""
    session, history = _session(locations), _history(locations)
    stored = run_in_foreground(("parley_session", "verify-log"), session)
    if stored >= SIGNAL_EXIT_BASE:
        return stored
    return max(stored, run_in_foreground(("parley_history", "verify"), history))


def session_command(locations: StackLocations, *arguments: str) -> int:
    return run_in_foreground(("parley_session", *arguments), _session(locations))


def store_command(locations: StackLocations, *arguments: str, more: Mapping[str, str]) -> int:
    """Run a session command that needs the database, but not the log.

    `more` are further variables for it, such as that of the master key.
    """
    environment = {
        **variables("PARLEY_SESSION_"),
        "PARLEY_SESSION_DATABASE_URL": locations.session_database(),
    }
    return run_in_foreground(("parley_session", *arguments), {**environment, **more})


def offline_command(locations: StackLocations, *arguments: str) -> int:
    """Run a session command that needs the master key at most, and no engine."""
    return run_in_foreground(("parley_session", *arguments), locations.master_key_environment())


def history_command(locations: StackLocations, *arguments: str) -> int:
    return run_in_foreground(("parley_history", *arguments), _history(locations))


def _session(locations: StackLocations) -> Mapping[str, str]:
    return {
        **variables("PARLEY_SESSION_"),
        **locations.log_environment(),
        **locations.topic_environment(),
        "PARLEY_SESSION_DATABASE_URL": locations.session_database(),
    }


def _history(locations: StackLocations) -> Mapping[str, str]:
    return {
        **variables("PARLEY_HISTORY_"),
        **locations.log_environment(),
        "PARLEY_HISTORY_DATABASE_URL": locations.history_database(),
    }
