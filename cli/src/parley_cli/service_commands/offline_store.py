"""Event store and log of a data folder on which no stack runs, for `restore` and `reconcile`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from parley_cli.engines import KafkaServer, PostgresServer, free_port
from parley_cli.settings import user_cache_folder, variables
from parley_cli.stack.secret_store import KAFKA_PASSWORD, SecretStore
from parley_cli.stack.stack_settings import OperationsSettings
from parley_cli.stack.state_file import StackLock
from parley_cli.stack.up.databases_sql import ServiceDatabase, prepare_databases
from parley_cli.stack.up.environments import kafka_environment


@asynccontextmanager
async def offline_store(settings: OperationsSettings) -> AsyncIterator[Mapping[str, str]]:
    """The variables with which a session command finds the event store, which runs meanwhile.

    The stack lock keeps session from serving: nothing is written, and no erased session is read.
    Raises EngineError, also if a stack runs.
    """
    data = settings.data.resolve()
    with StackLock(data):
        (data / "logs").mkdir(exist_ok=True)
        async with AsyncExitStack() as engines:
            embedded = None
            if not settings.postgres:
                embedded = PostgresServer(data, free_port())
                await engines.enter_async_context(_running(embedded))
            admin_dsn = embedded.dsn() if embedded else str(settings.postgres)
            password = SecretStore(data).password("session-database")
            database = ServiceDatabase("parley_session", password)
            await prepare_databases(admin_dsn, [database], restrict_server=embedded is not None)
            yield {
                **variables("PARLEY_SESSION_"),
                "PARLEY_SESSION_DATABASE_URL": database.dsn(admin_dsn),
            }


def has_log(settings: OperationsSettings) -> bool:
    return bool(settings.kafka) or (settings.data / "kafka" / "records").exists()


@asynccontextmanager
async def offline_log(settings: OperationsSettings) -> AsyncIterator[Mapping[str, str]]:
    """The variables with which a command finds the log, which runs meanwhile.

    Raises EngineError.
    """
    if settings.kafka:
        yield kafka_environment(settings.kafka)
        return
    data = settings.data.resolve()
    password = SecretStore(data).password(KAFKA_PASSWORD)
    kafka = KafkaServer(data, user_cache_folder(), free_port(), free_port(), password=password)
    async with _running(kafka):
        yield kafka.access.variables


@asynccontextmanager
async def _running(server: PostgresServer | KafkaServer) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop()
