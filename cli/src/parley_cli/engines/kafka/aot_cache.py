"""AOT cache of Java (JEP 514): recorded in one run, it halves the time of later starts.

The file name contains a fingerprint of its inputs and its own size, so that a cache of another
Java or other jars, or a truncated one, is never used.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from parley_cli.engines.kafka.fingerprint import fingerprint

# Each is 67 MB. Virtual environments share the folder, and each has a Java of its own.
MAX_CACHES = 3


class AOTCache:
    """The cache in the folder `shared` for a Java that reads the given files."""

    def __init__(self, shared: Path, java_files: Iterable[Path]) -> None:
        self._shared = shared
        self._name = f"start-{fingerprint(java_files)}"

    def options(self) -> list[str]:
        """The Java options that use the cache; none if it was not recorded yet."""
        file = self._find()
        if file is None:
            return []
        with contextlib.suppress(OSError):
            file.touch()  # The caches used last are retained.
        return [f"-XX:AOTCache={file}"]

    def recording_options(self, folder: Path) -> list[str]:
        """The Java options that record a cache in the folder when Java ends."""
        return [f"-XX:AOTCacheOutput={self._recording(folder)}"]

    def publish(self, folder: Path) -> None:
        """Move a finished recording from the folder, if there is one, to `shared`. Blocks."""
        recording = self._recording(folder)
        if not recording.exists():
            return
        # Without space for the cache, later starts are merely two seconds slower.
        with contextlib.suppress(OSError):
            size = recording.stat().st_size
            incoming = self._shared / f"{recording.stem}-{size}.aot.{os.getpid()}"
            shutil.move(recording, incoming)
            with incoming.open("rb") as file:
                os.fsync(file.fileno())
            incoming.rename(incoming.with_suffix(""))
            for old in self._by_last_use()[MAX_CACHES:]:
                old.unlink(missing_ok=True)

    def _recording(self, folder: Path) -> Path:
        return folder / f"{self._name}.aot"

    def _find(self) -> Path | None:
        for file in self._shared.glob(f"{self._name}-*.aot"):
            if file.stem == f"{self._name}-{file.stat().st_size}":
                return file
        return None

    def _by_last_use(self) -> list[Path]:
        """The caches, and what interrupted runs left of one, the last used first."""
        return sorted(self._shared.glob("start-*"), key=lambda f: f.stat().st_mtime, reverse=True)
