"""Java's AOT cache (JEP 514): a first run records its classes, and later starts take half the time.

It is named for what it fits and for its own sum, so that one of another Java, of other jars or cut
short is never used.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class AOTCache:
    """The cache in the folder `shared` that fits the files that Java reads."""

    def __init__(self, shared: Path, read_by_java: Iterable[Path]) -> None:
        self._shared = shared
        self._name = f"start-{_fingerprint(read_by_java)}"

    def options(self) -> list[str]:
        """Those of a Java that uses it; none while it was not recorded (blocking)."""
        found = self._found()
        return [f"-XX:AOTCache={found}"] if found else []

    def recording_options(self, own: Path) -> list[str]:
        """Those of a Java that records it in the folder `own` when it ends."""
        return [f"-XX:AOTCacheOutput={self._recorded(own)}"]

    def share(self, own: Path) -> None:
        """Move what a run that has ended recorded in `own`, if it did, to `shared` (blocking)."""
        recorded = self._recorded(own)
        if not recorded.exists():
            return
        # A disk too full for it costs later starts two seconds, and no more.
        with contextlib.suppress(OSError):
            incoming = self._shared / f"{recorded.stem}-{_sum(recorded)}.aot.{os.getpid()}"
            shutil.move(recorded, incoming)
            for old in set(self._shared.glob("start*")) - {incoming}:
                old.unlink()
            incoming.rename(incoming.with_suffix(""))

    def _recorded(self, own: Path) -> Path:
        return own / f"{self._name}.aot"

    def _found(self) -> Path | None:
        for file in self._shared.glob(f"{self._name}-*.aot"):
            if file.stem == f"{self._name}-{_sum(file)}":
                return file
        return None


def _fingerprint(files: Iterable[Path]) -> str:
    # What Java itself compares before it uses a cache.
    seen = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
