"""Engines as child processes: they start, answer and keep acknowledged writes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from parley_cli.engines import EngineError, KafkaServer, PostgresServer, RedisServer, free_port
from parley_cli.engines.kafka.kafka_server import JAVA_OPTIONS, SHORT_RUN_OPTIONS
from parley_cli.engines.postgres import MAJOR_VERSION
from parley_cli.engines.process import child_process

ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="PR_SET_PDEATHSIG exists only on Linux"
)
RUN_POSTGRES = """
import asyncio, pathlib, sys
from parley_cli.engines import PostgresServer, free_port

async def main():
    server = PostgresServer(pathlib.Path(sys.argv[1]), free_port())
    await server.start()
    print(server.dsn(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def data() -> Iterator[Path]:
    # Not in pytest's own folder, which only root can traverse: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="parley engines é ") as folder:
        yield Path(folder)


@pytest.fixture
async def postgres(data: Path) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(data, free_port())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(data: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(data, free_port())
    await server.start()
    yield server
    await server.stop()


async def test_a_postgres_row_survives_kill_and_restart(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute("CREATE TABLE stored AS SELECT 7 AS number")
    os.kill(postgres.pid, signal.SIGKILL)
    await postgres.stop()
    await postgres.start()
    connection = await asyncpg.connect(postgres.dsn())
    assert await connection.fetchval("SELECT number FROM stored") == 7
    await connection.close()


@pytest.fixture
async def kafka_after_interrupted_start(
    data: Path, engine_cache: Path
) -> AsyncIterator[KafkaServer]:
    """A broker on a folder whose first start was interrupted."""
    _incomplete_folder(data / "kafka" / "records.new")
    server = KafkaServer(data, engine_cache, free_port(), free_port())
    server.java_options = [*SHORT_RUN_OPTIONS, *JAVA_OPTIONS]
    await server.start()
    yield server
    await server.stop()


async def test_a_kafka_record_survives_kill_and_restart_after_an_interrupted_first_start(
    kafka_after_interrupted_start: KafkaServer, data: Path
) -> None:
    kafka = kafka_after_interrupted_start
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("stored", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, enable_idempotence=True, compression_type="lz4"
    )
    await producer.start()
    await producer.send_and_wait("stored", b"seven")
    await producer.stop()
    os.kill(kafka.pid, signal.SIGKILL)
    await kafka.stop()
    unpacked = {*(data / "kafka" / "tmp").glob("liblz4*")}
    assert unpacked
    await kafka.start()
    assert not unpacked & {*(data / "kafka" / "tmp").iterdir()}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    consumer.assign([TopicPartition("stored", 0)])
    await consumer.seek_to_beginning()
    assert (await consumer.getone()).value == b"seven"
    await consumer.stop()


async def test_redis_starts_and_answers(redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        assert await client.set("key", "value")


@ON_LINUX
async def test_an_engine_of_a_killed_parent_ends_and_its_data_starts_again(data: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", RUN_POSTGRES, str(data)],
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    dsn = (await parent.stdout.readline()).decode().strip()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE stored AS SELECT 7 AS number")
    parent.kill()
    await parent.wait()
    # The start waits for the server of the killed parent to end.
    server = PostgresServer(data, free_port())
    await server.start()
    connection = await asyncpg.connect(server.dsn())
    assert await connection.fetchval("SELECT number FROM stored") == 7
    await connection.close()
    await server.stop()


async def test_a_second_start_on_the_same_data_names_the_running_process(
    redis: RedisServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "PREVIOUS_RUN_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(EngineError, match=f"redis already runs .* as process {redis.pid}:"):
        await RedisServer(data, free_port()).start()


@ON_LINUX
async def test_a_child_inherits_no_secret(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MASTER_KEY", "secret")
    server = RedisServer(data, free_port())
    await server.start()
    try:
        assert b"secret" not in _environment(server.pid)
    finally:
        await server.stop()


async def test_a_port_in_use_is_named_in_the_error(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port}"):
            await RedisServer(data, port).start()


async def test_a_child_that_ends_while_starting_is_quoted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_server = data / "redis-server"
    failing_server.write_text("#!/bin/sh\necho 'Fatal error: no memory'\necho 'Bye'\nexit 1\n")
    failing_server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{data}:{os.environ['PATH']}")
    with pytest.raises(EngineError, match=r"^redis ended while starting: Fatal error: no memory$"):
        await RedisServer(data, free_port()).start()


async def test_a_data_folder_of_another_postgres_version_is_rejected(data: Path) -> None:
    folder = data / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("17\n")
    with pytest.raises(EngineError, match="is not a data folder of PostgreSQL"):
        await PostgresServer(data, free_port()).start()


async def test_a_wrong_postgres_password_is_reported(postgres: PostgresServer, data: Path) -> None:
    await postgres.stop()
    (data / "postgres.password").write_text("another")
    with pytest.raises(EngineError, match=r"rejects the password in .*postgres\.password\.$"):
        await postgres.start()


async def test_a_missing_postgres_password_is_reported(data: Path) -> None:
    folder = data / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text(f"{MAJOR_VERSION}\n")
    with pytest.raises(EngineError, match=r"postgres\.password, the password .*, is missing"):
        await PostgresServer(data, free_port()).start()


async def test_a_broken_postgres_data_folder_is_reported(
    postgres: PostgresServer, data: Path
) -> None:
    await postgres.stop()
    (data / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EngineError, match=r"^postgres ended while starting: .*pg_control"):
        await postgres.start()


async def test_a_broken_kafka_data_folder_is_reported(data: Path, engine_cache: Path) -> None:
    records = data / "kafka" / "records"
    records.mkdir(parents=True)
    (records / "meta.properties").write_text("broken")
    server = KafkaServer(data, engine_cache, free_port(), free_port())
    with pytest.raises(EngineError, match=r"^kafka ended while starting: .*Exception: "):
        await server.start()


async def test_an_incomplete_postgres_folder_is_created_again(
    data: Path,
) -> None:
    _incomplete_folder(data / "postgres.new")
    server = PostgresServer(data, free_port())
    await server.start()
    await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must run postgres as another user")
async def test_only_a_folder_that_blocks_postgres_is_opened_with_a_warning(
    closed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, open_already = os.stat("/").st_mode, os.stat(closed.parent).st_mode
    server = PostgresServer(closed / "data", free_port())
    await server.start()
    await server.stop()
    assert (os.stat("/").st_mode, os.stat(closed.parent).st_mode) == (root, open_already)
    assert os.stat(closed).st_mode & 0o777 == 0o701
    [message] = [record.getMessage() for record in caplog.records if str(closed) in record.message]
    assert "mode 701, was 700" in message


@pytest.fixture
def closed(data: Path) -> Path:
    data.chmod(0o700)
    return data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
async def test_postgres_reports_a_full_disk(small_disk: Path) -> None:
    with pytest.raises(EngineError, match="No space left on"):
        await PostgresServer(small_disk, free_port()).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("small_disk", ["32k"], indirect=True)
async def test_kafka_reports_a_full_disk(small_disk: Path, engine_cache: Path) -> None:
    server = KafkaServer(small_disk, engine_cache, free_port(), free_port())
    try:
        with pytest.raises(EngineError, match="No space left on"):
            await server.start()
    finally:
        await server.stop()


@pytest.fixture
def small_disk(data: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the given size, which holds logs and settings, but no more."""
    size = f"size={request.param}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", data], check=True)
    yield data
    subprocess.run(["umount", data], check=True)


def _incomplete_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "incomplete").touch()


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
