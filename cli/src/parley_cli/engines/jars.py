"""Brings Kafka's jars into the cache and accepts them only with their pinned sums."""

import fcntl
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley_cli.engines.failure import EngineFailed

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
# Each line is a sum and a path in any Maven repository; `sha256sum -c` reads it too.
PINNED_SUMS = Path(__file__).with_name("kafka-jars.sha256")


def kafka_jars(cache: Path, repository: str = MAVEN_CENTRAL) -> list[Path]:
    """The jars of the class path, fetched when the cache lacks them (blocking)."""
    folder = cache / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (line.split() for line in PINNED_SUMS.read_text().splitlines())
    pinned = {path: digest for digest, path in lines}
    # Two first starts at once would download over each other.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A download that was cut short lies here under its final name: fetch it again.
        if wanted := _without_their_sums(folder, pinned):
            _fetch(wanted, folder, repository)
            if refused := _without_their_sums(folder, pinned):
                raise EngineFailed(
                    f"{repository}/{refused[0]} does not have its pinned sha256 sum, "
                    "so Kafka is not started."
                )
    return [folder / path for path in pinned]


def _without_their_sums(folder: Path, pinned: dict[str, str]) -> list[str]:
    return [path for path, digest in pinned.items() if _sum(folder / path) != digest]


def _sum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _fetch(paths: Iterable[str], folder: Path, repository: str) -> None:
    # Imported here: it takes 0.1 s, and only a first start needs it.
    from jgo.maven import MavenContext

    # Not `jgo.build`: that fills the home folder too, and fetches a second Java.
    maven = MavenContext(repo_cache=folder, remote_repos={"pinned": repository})

    def fetch(path: str) -> None:
        (folder / path).unlink(missing_ok=True)
        *group, artifact, version, _ = path.split("/")
        maven.project(".".join(group), artifact).at_version(version).artifact().resolve()

    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(fetch, paths))
    except (OSError, RuntimeError) as error:
        raise EngineFailed(f"Kafka's jars could not be fetched: {error}.") from error
