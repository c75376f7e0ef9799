"""AOT cache of Java (JEP 514): recorded in one run, it halves the time of later starts.

The file name contains a fingerprint of its inputs and its own checksum, so that a cache of another
Java or other jars, or a truncated one, is never used.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class AOTCache:
    """The cache in the folder `shared` for a Java that reads the given files."""

    def __init__(self, shared: Path, java_files: Iterable[Path]) -> None:
        self._shared = shared
        self._name = f"start-{_fingerprint(java_files)}"

    def options(self) -> list[str]:
        """The Java options that use the cache; none if it was not recorded yet. Blocks."""
        file = self._find()
        return [f"-XX:AOTCache={file}"] if file else []

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
            incoming = self._shared / f"{recording.stem}-{_checksum(recording)}.aot.{os.getpid()}"
            shutil.move(recording, incoming)
            for old in set(self._shared.glob("start*")) - {incoming}:
                old.unlink()
            incoming.rename(incoming.with_suffix(""))

    def _recording(self, folder: Path) -> Path:
        return folder / f"{self._name}.aot"

    def _find(self) -> Path | None:
        for file in self._shared.glob(f"{self._name}-*.aot"):
            if file.stem == f"{self._name}-{_checksum(file)}":
                return file
        return None


def _fingerprint(files: Iterable[Path]) -> str:
    # Java compares the same attributes before it uses a cache.
    attributes = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(attributes).encode()).hexdigest()[:16]


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
