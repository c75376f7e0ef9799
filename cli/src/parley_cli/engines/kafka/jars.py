"""Brings Kafka's jars into a cache and accepts them only with their pinned sums."""

import fcntl
import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley_cli.engines.errors import EngineError

# Each line is a sum and a path in any Maven repository; `sha256sum -c` reads it too.
PINNED_SUMS = Path(__file__).with_name("kafka-jars.sha256")


def jars_in(cache: Path) -> list[Path]:
    """The jars of the class path as they lie in the cache, whether they are there or not."""
    return [cache / "kafka" / path for path in _pinned()]


def jars_are_complete(cache: Path) -> bool:
    """Whether the cache has every jar with its pinned sum (blocking)."""
    return not _without_their_sums(cache / "kafka", _pinned())


def kafka_jars(cache: Path, repository: str | None = None) -> list[Path]:
    """The jars of the class path, fetched when the cache lacks them (blocking).

    They come from jgo's own Maven repository unless another's URL is given.
    """
    folder, pinned = cache / "kafka", _pinned()
    folder.mkdir(parents=True, exist_ok=True)
    # Two first starts at once would download over each other.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A download that was cut short lies here under its final name: fetch it again.
        if wanted := _without_their_sums(folder, pinned):
            _fetch(wanted, folder, repository)
            if refused := _without_their_sums(folder, pinned):
                raise EngineError(
                    f"{refused[0]} does not have its pinned sha256 sum, so Kafka is not started."
                )
    return jars_in(cache)


def _pinned() -> dict[str, str]:
    """The sum of each jar, by its path."""
    lines = (line.split() for line in PINNED_SUMS.read_text().splitlines())
    return {path: digest for digest, path in lines}


def _without_their_sums(folder: Path, pinned: Mapping[str, str]) -> list[str]:
    return [path for path, digest in pinned.items() if _sum(folder / path) != digest]


def _sum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _fetch(paths: Iterable[str], folder: Path, repository: str | None) -> None:
    # Imported here: it takes 0.1 s, and only a first start needs it.
    from jgo.maven import MavenContext

    # Not `jgo.build`: that fills the home folder too, and fetches a second Java.
    repositories = {"given": repository} if repository else None
    maven = MavenContext(repo_cache=folder, remote_repos=repositories)

    def fetch(path: str) -> None:
        (folder / path).unlink(missing_ok=True)
        *group, artifact, version, _ = path.split("/")
        maven.project(".".join(group), artifact).at_version(version).artifact().resolve()

    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(fetch, paths))
    except (OSError, RuntimeError) as error:
        raise EngineError(f"Kafka's jars could not be fetched: {error}.") from error
