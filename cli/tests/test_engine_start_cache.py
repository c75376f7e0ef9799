"""Java's start cache: recorded once, then used by every start that it fits."""

import os
import socket
from pathlib import Path

import pytest

from parley_cli.engines import KafkaServer, free_port, free_ports, record_kafka_start
from parley_cli.engines.kafka.aot_cache import AOTCache
from parley_cli.engines.kafka.server import kafka_start_cache


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    jar = tmp_path / "some.jar"
    jar.write_text("jar")
    return jar


def record(shared: Path, own: Path, jar: Path) -> Path:
    """What Java does, and where it is kept."""
    cache = AOTCache(shared, [jar])
    [option] = cache.recording_options(own)
    Path(option.removeprefix("-XX:AOTCacheOutput=")).write_text("recorded")
    cache.share(own)
    [kept] = shared.iterdir()
    return kept


def test_what_one_run_recorded_the_next_one_uses(shared: Path, own: Path, jar: Path) -> None:
    kept = record(shared, own, jar)
    assert AOTCache(shared, [jar]).options() == [f"-XX:AOTCache={kept}"]


def test_a_cache_cut_short_is_not_used(shared: Path, own: Path, jar: Path) -> None:
    record(shared, own, jar).write_text("record")
    assert AOTCache(shared, [jar]).options() == []


def test_a_cache_for_another_jar_is_not_used_and_is_replaced(
    shared: Path, own: Path, jar: Path
) -> None:
    kept = record(shared, own, jar)
    os.utime(jar, (0, 0))
    assert AOTCache(shared, [jar]).options() == []
    assert record(shared, own, jar) != kept


def test_a_run_that_recorded_nothing_leaves_nothing(shared: Path, own: Path, jar: Path) -> None:
    AOTCache(shared, [jar]).share(own)
    assert not any(shared.iterdir())


async def test_kafka_records_its_start_once_and_starts_from_it(
    tmp_path: Path, engine_cache: Path
) -> None:
    await record_kafka_start(tmp_path, engine_cache, *free_ports(2))
    option = option_to_use(engine_cache)
    assert not (tmp_path / "kafka-recording").exists()
    # The second time it starts nothing: a taken port would be refused.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await record_kafka_start(tmp_path, engine_cache, port, port)
    server = KafkaServer(tmp_path / "data", engine_cache, free_port(), free_port())
    await server.start()
    try:
        assert option in command_line(server.pid)
    finally:
        await server.stop()


def option_to_use(cache: Path) -> str:
    [option] = kafka_start_cache(cache.resolve()).options()
    return option


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
