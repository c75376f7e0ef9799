"""Restores a backup into the event store of a data folder on which no stack runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from parley_cli.engines import KafkaServer, PostgresServer, free_ports
from parley_cli.service_commands.foreground import run_in_foreground
from parley_cli.service_commands.locations import StackNotRunning
from parley_cli.settings import OperationsSettings, variables
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.state_file import StackLock
from parley_cli.stack.up.databases_sql import ServiceDatabase, prepare_databases


async def restore_into_data_folder(settings: OperationsSettings, folders: Sequence[str]) -> int:
    """Restore, then reconcile with the log of the folder; return the exit code.

    The stack lock keeps session from serving meanwhile: nothing may be written, and no erased
    session read. Raises StackNotRunning without a master key, EngineError (also if a stack runs),
    SecretLost.
    """
    data = settings.data.resolve()
    secrets = SecretStore(data)
    master_key = _master_key(settings, secrets)
    with StackLock(data):
        (data / "logs").mkdir(exist_ok=True)
        async with AsyncExitStack() as engines:
            embedded = None
            if not settings.postgres:
                embedded = PostgresServer(data, *free_ports(1))
                await engines.enter_async_context(_running(embedded))
            admin_dsn = embedded.dsn() if embedded else str(settings.postgres)
            database = ServiceDatabase("parley_session", secrets.password("session-database"))
            await prepare_databases(admin_dsn, [database], restrict_server=embedded is not None)
            environment = {
                **variables("PARLEY_SESSION_"),
                "PARLEY_SESSION_DATABASE_URL": database.dsn(admin_dsn),
                "PARLEY_MASTER_KEY": master_key,
            }
            # These calls block the event loop, on which nothing else runs.
            return (
                run_in_foreground(("parley_session", "migrate"), environment)
                or run_in_foreground(("parley_session", "restore", *folders), environment)
                or await _reconcile(settings, data, environment)
            )


async def _reconcile(
    settings: OperationsSettings, data: Path, environment: Mapping[str, str]
) -> int:
    """Reconcile with the log of the data folder, which is available only now or while it serves.

    A log at PARLEY_KAFKA is available at any time.
    """
    if settings.kafka or not (data / "kafka" / "records").exists():
        return 0
    print("Importing the events that exist only in the log of the data folder.", flush=True)
    kafka = KafkaServer(data, data / "cache", *free_ports(2))
    async with _running(kafka):
        return run_in_foreground(
            ("parley_session", "reconcile"),
            {**environment, "PARLEY_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap},
        )


@asynccontextmanager
async def _running(server: PostgresServer | KafkaServer) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop()


def _master_key(settings: OperationsSettings, secrets: SecretStore) -> str:
    secret = settings.master_key
    if key := secret.get_secret_value() if secret else secrets.existing("master-key"):
        return key
    path = settings.data.resolve() / "secrets" / "master-key"
    raise StackNotRunning(
        "The restored content cannot be read without the master key of the backup: set "
        f"PARLEY_MASTER_KEY, or put the key in {path}."
    )
