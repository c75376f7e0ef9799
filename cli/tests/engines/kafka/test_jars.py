"""Jars of Kafka: downloaded once from a Maven repository, verified against pinned checksums."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from parley_cli.engines import EngineError, free_port
from parley_cli.engines.kafka.jars import kafka_jars


class MavenRepository(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(MavenRepository, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def repository(engine_cache: Path) -> Iterator[str]:
    """The URL of a Maven repository that has every jar."""
    kafka_jars(engine_cache)
    with served(engine_cache / "kafka") as address:
        yield address


@pytest.fixture
def unreachable() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_jars_are_downloaded_into_the_cache_and_nowhere_else(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    jars = kafka_jars(tmp_path / "cache", repository)
    assert all(jar.is_relative_to(tmp_path / "cache") and jar.exists() for jar in jars)
    assert not any(home.iterdir())


def test_a_complete_cache_needs_no_network(engine_cache: Path, unreachable: str) -> None:
    assert kafka_jars(engine_cache, unreachable) == kafka_jars(engine_cache)


def test_a_truncated_jar_is_downloaded_again(repository: str, tmp_path: Path) -> None:
    jar = kafka_jars(tmp_path, repository)[0]
    whole = jar.read_bytes()
    jar.write_bytes(whole[:1000])
    kafka_jars(tmp_path, repository)
    assert jar.read_bytes() == whole


def test_a_downloaded_jar_with_another_checksum_is_rejected(
    repository: str, tmp_path: Path
) -> None:
    forged, empty = tmp_path / "forged", tmp_path / "empty"
    jar = kafka_jars(forged, repository)[0]
    jar.write_bytes(b"not the jar")
    with (
        served(forged / "kafka") as address,
        pytest.raises(EngineError, match=f"{jar.name} does not match its SHA-256 checksum"),
    ):
        kafka_jars(empty, address)


def test_an_unreachable_repository_is_reported(tmp_path: Path, unreachable: str) -> None:
    with pytest.raises(EngineError, match=r"^The jars of Kafka cannot be downloaded: "):
        kafka_jars(tmp_path, unreachable)
