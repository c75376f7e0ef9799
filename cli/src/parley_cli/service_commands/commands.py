"""The commands that session and history have themselves, told where stores and log are."""

from collections.abc import Mapping

from parley_cli.service_commands.foreground import ENDED_BY_SIGNAL, run_in_foreground
from parley_cli.service_commands.locations import StackLocations
from parley_cli.settings import variables


def verify(places: StackLocations) -> int:
    """Both checks, whatever the first one finds: 0 when both found all well."""
    session, history = _session(places), _history(places)
    stored = run_in_foreground(("parley_session", "verify-log"), session)
    if stored >= ENDED_BY_SIGNAL:
        return stored
    return max(stored, run_in_foreground(("parley_history", "verify"), history))


def session_command(places: StackLocations, *arguments: str) -> int:
    return run_in_foreground(("parley_session", *arguments), _session(places))


def store_command(places: StackLocations, *arguments: str, keys: bool) -> int:
    """One that needs no log; with `keys` it is told the master key, where there is one."""
    environment = {
        **variables("PARLEY_SESSION_"),
        "PARLEY_SESSION_DATABASE": places.session_database(),
    }
    told = places.master_key_environment() if keys else {}
    return run_in_foreground(("parley_session", *arguments), {**environment, **told})


def keys_command(places: StackLocations, *arguments: str) -> int:
    """One that needs no engine at all."""
    return run_in_foreground(("parley_session", *arguments), places.master_key_environment())


def history_command(places: StackLocations, *arguments: str) -> int:
    return run_in_foreground(("parley_history", *arguments), _history(places))


def _session(places: StackLocations) -> Mapping[str, str]:
    return {
        **variables("PARLEY_SESSION_", "PARLEY_RELAY_"),
        **places.log_environment(),
        **places.topic_environment(),
        "PARLEY_SESSION_DATABASE": places.session_database(),
    }


def _history(places: StackLocations) -> Mapping[str, str]:
    return {
        **variables("PARLEY_HISTORY_", "PARLEY_PROJECTOR_", "PARLEY_REBUILD_"),
        **places.log_environment(),
        "PARLEY_HISTORY_DATABASE": places.history_database(),
    }
