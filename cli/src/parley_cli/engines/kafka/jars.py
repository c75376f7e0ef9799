"""The jars of Kafka in a cache, which any number of data folders share."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from parley_cli.engines.kafka.fingerprint import fingerprint
from parley_cli.engines.kafka.pinned_jars import PINNED_JARS, Jar, pinned_jars
from parley_cli.engines.process.child_process import try_lock

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
LOCK_POLL_SECONDS = 0.1


def jars_in(cache: Path) -> list[Path]:
    """The paths of the class path in the cache, whether the files exist or not."""
    return [cache / "kafka" / jar.path for jar in pinned_jars()]


def jars_are_complete(cache: Path) -> bool:
    """Whether every jar is in the cache and was verified in its present state."""
    marker = _marker(cache)
    return marker is not None and marker.exists()


async def fetch_jars(
    cache: Path,
    on_progress: Callable[[int, int], None] = lambda _, __: None,
    repository: str = MAVEN_CENTRAL,
) -> list[Path]:
    """The jars of the class path; missing and damaged ones are downloaded. Raises EngineError.

    `on_progress` receives the downloaded bytes and the total.
    """
    if not jars_are_complete(cache):
        folder = cache / "kafka"
        folder.mkdir(parents=True, exist_ok=True)
        async with _locked(folder / "lock"):
            if missing := await asyncio.to_thread(_missing_in, folder):
                # Imported here: only a first start needs an HTTP client.
                from parley_cli.engines.kafka.jar_download import download_jars

                await download_jars(missing, repository, folder, on_progress)
            marker = _marker(cache)
            assert marker is not None
            marker.touch()
    return jars_in(cache)


def _marker(cache: Path) -> Path | None:
    """An empty file that exists if the jars, as they are now, have the pinned checksums."""
    # Computing the checksums of 44 MB at every start would take a quarter of a second.
    jars = jars_in(cache)
    if not all(jar.exists() for jar in jars):
        return None
    pinned = hashlib.sha256(PINNED_JARS.read_bytes()).hexdigest()[:16]
    return cache / "kafka" / f"verified-{pinned}-{fingerprint(jars)}"


def _missing_in(folder: Path) -> list[Jar]:
    return [jar for jar in pinned_jars() if _checksum(folder / jar.path) != jar.sha256]


def _checksum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock, for which a download by another process may have to be awaited."""
    with path.open("w") as lock:
        while not try_lock(lock):  # noqa: ASYNC110 - another process releases it
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
