"""Jars of Kafka: downloaded once from a Maven repository, verified against pinned checksums."""

import asyncio
import functools
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from parley_cli.engines import EngineError, free_port
from parley_cli.engines.kafka.jars import fetch_jars, jars_are_complete


@dataclass(frozen=True)
class Repository:
    """A Maven repository, and the paths that were requested from it."""

    url: str
    requested: list[str]


@contextmanager
def served(folder: Path) -> Iterator[Repository]:
    requested: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            requested.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Repository(url, requested)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
async def repository(engine_cache: Path) -> AsyncIterator[Repository]:
    """A Maven repository that has every jar."""
    await fetch_jars(engine_cache)
    with served(engine_cache / "kafka") as repository:
        yield repository


@pytest.fixture
def unreachable() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_a_complete_cache_needs_no_network(engine_cache: Path, unreachable: str) -> None:
    jars = await fetch_jars(engine_cache)
    assert await fetch_jars(engine_cache, repository=unreachable) == jars


async def test_a_download_reports_its_bytes_up_to_the_total(
    repository: Repository, tmp_path: Path
) -> None:
    reports: list[tuple[int, int]] = []
    jars = await fetch_jars(tmp_path, lambda *report: reports.append(report), repository.url)
    assert all(jar.is_relative_to(tmp_path) for jar in jars)
    total = sum(jar.stat().st_size for jar in jars)
    assert (reports[0], reports[-1]) == ((0, total), (total, total))
    assert reports == sorted(reports)


async def test_two_first_starts_at_once_download_each_jar_once(
    repository: Repository, tmp_path: Path
) -> None:
    both = [fetch_jars(tmp_path, repository=repository.url) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first == second
    assert len(repository.requested) == len(set(repository.requested)) == len(first)


async def test_only_a_truncated_jar_is_downloaded_again(
    repository: Repository, tmp_path: Path, engine_cache: Path
) -> None:
    shutil.copytree(
        engine_cache / "kafka", tmp_path / "kafka", ignore=shutil.ignore_patterns("*.aot")
    )
    jar = (await fetch_jars(tmp_path, repository=repository.url))[0]
    whole = jar.read_bytes()
    jar.write_bytes(whole[:1000])
    assert not jars_are_complete(tmp_path)
    await fetch_jars(tmp_path, repository=repository.url)
    assert jar.read_bytes() == whole
    assert repository.requested == [f"/{jar.relative_to(tmp_path / 'kafka')}"]


async def test_a_downloaded_jar_with_another_checksum_is_rejected(
    repository: Repository, tmp_path: Path
) -> None:
    forged, empty = tmp_path / "forged", tmp_path / "empty"
    jar = (await fetch_jars(forged, repository=repository.url))[0]
    jar.write_bytes(b"not the jar")
    with (
        served(forged / "kafka") as other,
        pytest.raises(EngineError, match=f"{jar.name} does not match its SHA-256 checksum"),
    ):
        await fetch_jars(empty, repository=other.url)
    assert not jars_are_complete(empty)


async def test_an_unreachable_repository_is_reported(tmp_path: Path, unreachable: str) -> None:
    with pytest.raises(EngineError, match=r"^The jars of Kafka cannot be downloaded: "):
        await fetch_jars(tmp_path, repository=unreachable)
