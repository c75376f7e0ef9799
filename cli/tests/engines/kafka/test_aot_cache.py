"""AOT cache of Java: recorded once, then used by every start with the same inputs."""

import os
import socket
from pathlib import Path

import pytest

from parley_cli.engines import KafkaServer, free_port, record_kafka_aot_cache
from parley_cli.engines.kafka.aot_cache import MAX_CACHES, AOTCache
from parley_cli.engines.kafka.kafka_server import kafka_aot_cache


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "recording"
    folder.mkdir()
    return folder


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    jar = tmp_path / "some.jar"
    jar.write_text("jar")
    return jar


def record(shared: Path, recording: Path, jar: Path) -> Path:
    """Record a cache like Java; return the published file."""
    cache = AOTCache(shared, [jar])
    [option] = cache.recording_options(recording)
    Path(option.removeprefix("-XX:AOTCacheOutput=")).write_text("recorded")
    cache.publish(recording)
    [published] = shared.iterdir()
    return published


def test_a_recorded_cache_is_used_by_the_next_run(shared: Path, recording: Path, jar: Path) -> None:
    published = record(shared, recording, jar)
    assert AOTCache(shared, [jar]).options() == [f"-XX:AOTCache={published}"]


def test_a_truncated_cache_is_not_used(shared: Path, recording: Path, jar: Path) -> None:
    record(shared, recording, jar).write_text("record")
    assert AOTCache(shared, [jar]).options() == []


def test_a_cache_for_another_jar_is_not_used(shared: Path, recording: Path, jar: Path) -> None:
    record(shared, recording, jar)
    os.utime(jar, (0, 0))
    assert AOTCache(shared, [jar]).options() == []


def test_caches_of_several_virtual_environments_coexist_up_to_a_limit(
    shared: Path, recording: Path, tmp_path: Path
) -> None:
    jars = [tmp_path / f"{number}.jar" for number in range(MAX_CACHES + 1)]
    for number, jar in enumerate(jars):
        jar.write_text("jar")
        cache = AOTCache(shared, [jar])
        [option] = cache.recording_options(recording)
        recorded = Path(option.removeprefix("-XX:AOTCacheOutput="))
        recorded.write_text("recorded")
        os.utime(recorded, (number, number))
        cache.publish(recording)
    assert [bool(AOTCache(shared, [jar]).options()) for jar in jars] == [False] + [
        True
    ] * MAX_CACHES


def test_a_run_without_a_recording_publishes_nothing(
    shared: Path, recording: Path, jar: Path
) -> None:
    AOTCache(shared, [jar]).publish(recording)
    assert not any(shared.iterdir())


async def test_kafka_records_its_aot_cache_once_and_starts_from_it(
    tmp_path: Path, engine_cache: Path
) -> None:
    await record_kafka_aot_cache(tmp_path, engine_cache, free_port(), free_port())
    option = option_to_use(engine_cache)
    assert not (tmp_path / "kafka-recording").exists()
    # The second call starts no server: the port in use would be rejected.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        await record_kafka_aot_cache(tmp_path, engine_cache, port, port)
    server = KafkaServer(tmp_path / "data", engine_cache, free_port(), free_port())
    await server.start()
    try:
        assert option in command_line(server.pid)
    finally:
        await server.stop()


def option_to_use(cache: Path) -> str:
    [option] = kafka_aot_cache(cache.resolve()).options()
    return option


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
