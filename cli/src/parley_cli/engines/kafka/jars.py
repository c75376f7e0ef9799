"""Downloads the jars of Kafka into a cache and verifies them against pinned checksums."""

import fcntl
import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley_cli.engines.errors import EngineError, package_not_installed

# Each line is a checksum and a path in a Maven repository, in the format of `sha256sum -c`.
PINNED_CHECKSUMS = Path(__file__).with_name("kafka-jars.sha256")


def jars_in(cache: Path) -> list[Path]:
    """The paths of the class path in the cache, whether the files exist or not."""
    return [cache / "kafka" / path for path in _pinned_checksums()]


def jars_are_complete(cache: Path) -> bool:
    """Whether the cache has every jar with its pinned checksum. Blocks."""
    return not _not_matching(cache / "kafka", _pinned_checksums())


def kafka_jars(cache: Path, repository: str | None = None) -> list[Path]:
    """The jars of the class path; missing ones are downloaded. Blocks. Raises EngineError.

    The default repository is that of jgo, Maven Central.
    """
    folder, pinned = cache / "kafka", _pinned_checksums()
    folder.mkdir(parents=True, exist_ok=True)
    # Concurrent first starts would overwrite each other's downloads.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # An interrupted download has its final name, so existence alone proves nothing.
        if missing := _not_matching(folder, pinned):
            _download(missing, folder, repository)
            if rejected := _not_matching(folder, pinned):
                raise EngineError(
                    f"Kafka was not started: {rejected[0]} does not match its SHA-256 checksum."
                )
    return jars_in(cache)


def _pinned_checksums() -> dict[str, str]:
    """The checksum of each jar by its path."""
    lines = (line.split() for line in PINNED_CHECKSUMS.read_text().splitlines())
    return {path: digest for digest, path in lines}


def _not_matching(folder: Path, pinned: Mapping[str, str]) -> list[str]:
    return [path for path, digest in pinned.items() if _checksum(folder / path) != digest]


def _checksum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def _download(paths: Iterable[str], folder: Path, repository: str | None) -> None:
    # Imported here: the import takes 0.1 s, and only a first start needs the package.
    try:
        from jgo.maven import MavenContext
    except ModuleNotFoundError:
        raise package_not_installed("Kafka", "jgo") from None

    # Not `jgo.build`, which also writes to the home folder and downloads a second Java.
    repositories = {"given": repository} if repository else None
    maven = MavenContext(repo_cache=folder, remote_repos=repositories)

    def download(path: str) -> None:
        (folder / path).unlink(missing_ok=True)
        *group, artifact, version, _ = path.split("/")
        maven.project(".".join(group), artifact).at_version(version).artifact().resolve()

    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(download, paths))
    except (OSError, RuntimeError) as error:
        raise EngineError(f"The jars of Kafka cannot be downloaded: {error}.") from error
