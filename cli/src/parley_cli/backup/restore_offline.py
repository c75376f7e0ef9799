"""Restores a backup into the event store of a data folder on which no stack runs."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from parley_cli.service_commands.foreground import run_in_foreground
from parley_cli.service_commands.locations import StackNotRunning
from parley_cli.service_commands.offline_store import has_log, offline_log, offline_store
from parley_cli.stack.program import parley_command
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.stack_settings import OperationsSettings


async def restore_into_data_folder(settings: OperationsSettings, folders: Sequence[str]) -> int:
    """Restore, then reconcile with the log, if there is one; return the exit code.

    Raises StackNotRunning without a master key, EngineError (also if a stack runs), SecretLost.
    """
    master_key = _master_key(settings)
    async with AsyncExitStack() as engines:
        store = await engines.enter_async_context(offline_store(settings))
        environment = {**store, "PARLEY_MASTER_KEY": master_key}
        # These calls block the event loop, on which nothing else runs.
        if code := run_in_foreground(
            ("parley_session", "migrate"), environment
        ) or run_in_foreground(("parley_session", "restore", *folders), environment):
            return code
        if has_log(settings):
            print("Importing the events that exist only in the log.", flush=True)
            log = await engines.enter_async_context(offline_log(settings))
            code = run_in_foreground(("parley_session", "reconcile"), {**environment, **log})
    print(_next_steps(settings))
    return code


def _next_steps(settings: OperationsSettings) -> str:
    data = {"PARLEY_DATA": str(settings.data.resolve())}
    key = "PARLEY_MASTER_KEY=... " if settings.master_key else ""
    steps = f"""\
Next:
  {key}{parley_command("up", environment=data)}
and, once it is ready, in another terminal:
  {parley_command("log", "restore", environment=data)}
  {parley_command("rebuild", "history", environment=data)}"""
    if has_log(settings):
        return steps
    return f"""\
The data folder has no log, so nothing after the backup was imported: sessions erased since the
backup can be read again, until they are erased again.
{steps}"""


def _master_key(settings: OperationsSettings) -> str:
    secret = settings.master_key
    stored = SecretStore(settings.data.resolve()).existing("master-key")
    if key := secret.get_secret_value() if secret else stored:
        return key
    path = settings.data.resolve() / "secrets" / "master-key"
    raise StackNotRunning(
        "The restored content cannot be read without the master key of the backup: set "
        f"PARLEY_MASTER_KEY, or put the key in {path}."
    )
