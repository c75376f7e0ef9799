"""PostgreSQL, Kafka and Redis for the tests, one of each per test process.

Each engine starts when a test first needs it. `PARLEY_TEST_POSTGRES`, `PARLEY_TEST_KAFKA` and
`PARLEY_TEST_REDIS` select engines that already run; with `STACK=containers` they run in Docker;
otherwise they run from the same packages as under `parley up`.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

# Engines and their clients are imported where they are used: most tests do not need them.

if TYPE_CHECKING:
    from parley_cli.engines import KafkaServer

Run = Callable[[Coroutine[Any, Any, None]], None]


class Server(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


AnyServer = TypeVar("AnyServer", bound=Server)


@pytest.fixture(scope="session")
def postgres_server(run_beside_tests: Run) -> Iterator[str]:
    """An administrator's DSN, `postgresql://…/postgres`."""
    if given := os.environ.get("PARLEY_TEST_POSTGRES"):
        yield given
    elif _in_containers():
        from testcontainers.community.postgres import PostgresContainer

        container = PostgresContainer("postgres:18", dbname="postgres", driver=None)
        with container.with_command("postgres -c max_connections=200"):
            yield container.get_connection_url()
    else:
        from parley_cli.engines import PostgresServer, free_port

        with _embedded(lambda data: PostgresServer(data, free_port()), run_beside_tests) as server:
            dsn = f"{server.dsn()}?sslmode=disable"  # Or asyncpg prepares for TLS each time.
            # Its data is deleted at the end of the run: it need not survive the machine.
            for setting in ("fsync = off", "full_page_writes = off", "scram_iterations = 1"):
                run_beside_tests(_execute(dsn, f"ALTER SYSTEM SET {setting}"))
            run_beside_tests(_execute(dsn, "SELECT pg_reload_conf()"))
            # Hashing a password 4,096 times is half of the work of a connection.
            renew = f"ALTER ROLE postgres PASSWORD '{urlsplit(dsn).password}'"
            run_beside_tests(_execute(dsn, f"SET scram_iterations = 1; {renew}"))
            yield dsn


@pytest.fixture
def database(postgres_server: str, run_beside_tests: Run) -> Iterator[str]:
    """The DSN of an empty database for this test."""
    name = f"test_{uuid4().hex}"
    run_beside_tests(_execute(postgres_server, f"CREATE DATABASE {name}"))
    yield urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    # FORCE: a failed test may have left connections open.
    run_beside_tests(_execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def kafka_bootstrap(run_beside_tests: Run, engine_cache: Path) -> Iterator[str]:
    """A broker's `host:port`; it does not create topics automatically."""
    if given := os.environ.get("PARLEY_TEST_KAFKA"):
        yield given
    elif _in_containers():
        with _kafka_container() as bootstrap:
            yield bootstrap
    else:
        with _embedded(lambda data: _kafka_server(data, engine_cache), run_beside_tests) as server:
            yield server.bootstrap


@pytest.fixture
async def kafka(tmp_path: Path, engine_cache: Path) -> AsyncIterator["KafkaServer"]:
    """A broker for this test, which may kill and restart it."""
    server = _kafka_server(tmp_path, engine_cache)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def topic() -> str:
    """A unique topic name; the topic does not exist yet."""
    return f"test.{uuid4().hex}"


@pytest.fixture(scope="session")
def redis_url(run_beside_tests: Run) -> Iterator[str]:
    """The URL of a database that all tests share; each test uses unique keys."""
    if given := os.environ.get("PARLEY_TEST_REDIS"):
        yield given
    elif _in_containers():
        from testcontainers.community.redis import RedisContainer

        with RedisContainer("redis:8") as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
            yield f"redis://{host}:{port}/0"
    else:
        from parley_cli.engines import RedisServer, free_port

        with _embedded(lambda data: RedisServer(data, free_port()), run_beside_tests) as server:
            yield server.url


@pytest.fixture(scope="session")
def engine_cache() -> Path:
    """The user's folder of downloaded engine files: Kafka's jars and Java's start cache."""
    from parley_cli.settings import user_cache_folder

    return user_cache_folder()


@pytest.fixture(scope="session")
def run_beside_tests() -> Iterator[Run]:
    """Runs coroutines on an event loop in a thread: engines outlive the event loop of a test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="engines", daemon=True)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    yield run
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _in_containers() -> bool:
    return os.environ.get("STACK") == "containers"


def _kafka_server(data: Path, cache: Path) -> "KafkaServer":
    """Without Java's optimising compiler, which costs more than it saves in a test."""
    from parley_cli.engines import KafkaServer, free_port
    from parley_cli.engines.kafka.kafka_server import JAVA_OPTIONS, SHORT_RUN_OPTIONS

    server = KafkaServer(data, cache, free_port(), free_port())
    server.java_options = [*SHORT_RUN_OPTIONS, *JAVA_OPTIONS]
    return server


@contextmanager
def _embedded(server_in: Callable[[Path], AnyServer], run: Run) -> Iterator[AnyServer]:
    # Not below pytest's own folder, which only its owner may enter: as root, PostgreSQL runs as
    # another user.
    with tempfile.TemporaryDirectory(prefix="parley-test-") as folder:
        server = server_in(Path(folder))
        try:
            run(server.start())
            yield server
        finally:
            run(server.stop())


async def _execute(dsn: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _kafka_container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    from parley_cli.engines import free_port

    # Chosen here, not by Docker: the broker advertises its port, so it must know it at start.
    port = free_port()
    container = DockerContainer("apache/kafka:4.4.0").with_bind_ports(port, port)
    container.with_envs(
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_NODE_ID="1",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_LISTENERS=f"CLIENTS://:{port},CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"CLIENTS://localhost:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_INTER_BROKER_LISTENER_NAME="CLIENTS",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
    )
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
        yield f"localhost:{port}"
