"""Restores into the store of a data folder on which nothing runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from parley_cli.engines import KafkaServer, PostgresServer, free_ports
from parley_cli.service_commands.foreground import run_in_foreground
from parley_cli.service_commands.locations import StackNotRunning
from parley_cli.settings import LogCommandSettings, variables
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.state_file import StackLock
from parley_cli.stack.up.databases import EmbeddedDatabase, prepare_databases


async def restore_into_data_folder(settings: LogCommandSettings, where: Sequence[str]) -> int:
    """The exit code. Session serves only afterwards: nobody may write, or read what was erased.

    Raises StackNotRunning without the master key, EngineError also while a stack runs, SecretLost.
    """
    data = settings.data.resolve()
    kept = SecretStore(data)
    master_key = _master_key(settings, kept)
    with StackLock(data):
        (data / "logs").mkdir(exist_ok=True)
        async with AsyncExitStack() as engines:
            embedded = None
            if not settings.postgres:
                embedded = PostgresServer(data, *free_ports(1))
                await engines.enter_async_context(_running(embedded))
            administrator = embedded.dsn() if embedded else str(settings.postgres)
            database = EmbeddedDatabase("parley_session", kept.password("session-database"))
            await prepare_databases(administrator, [database], whole_server=embedded is not None)
            told = {
                **variables("PARLEY_SESSION_", "PARLEY_RELAY_"),
                "PARLEY_SESSION_DATABASE": database.dsn(administrator),
                "PARLEY_MASTER_KEY": master_key,
            }
            # Each has the terminal, and nothing else is to be done meanwhile.
            return (
                run_in_foreground(("parley_session", "migrate"), told)
                or run_in_foreground(("parley_session", "restore", *where), told)
                or await _reconcile(settings, data, told)
            )


async def _reconcile(settings: LogCommandSettings, data: Path, told: Mapping[str, str]) -> int:
    """With the log that the folder itself has: it can be read only now, and while session serves.

    One at PARLEY_KAFKA can be read at any time.
    """
    if settings.kafka or not (data / "kafka" / "records").exists():
        return 0
    print(
        "The log in the data folder outlived the store: what it has more is taken back now.",
        flush=True,
    )
    kafka = KafkaServer(data, data / "cache", *free_ports(2))
    async with _running(kafka):
        return run_in_foreground(
            ("parley_session", "reconcile"), {**told, "PARLEY_KAFKA": kafka.bootstrap}
        )


@asynccontextmanager
async def _running(server: PostgresServer | KafkaServer) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop()


def _master_key(settings: LogCommandSettings, kept: SecretStore) -> str:
    given = settings.master_key
    if key := given.get_secret_value() if given else kept.existing("master-key"):
        return key
    place = settings.data.resolve() / "secrets" / "master-key"
    raise StackNotRunning(
        "Nobody could read what is restored without its master key: set PARLEY_MASTER_KEY to it, "
        f"or put it in {place}."
    )
