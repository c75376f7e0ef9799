"""Java's AOT cache (JEP 514): a first run records its classes, and later starts take half the time.

It is named for what it fits and for its own sum, so that one of another Java, of other jars or cut
short is never used, but recorded anew.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def java_options(shared: Path, own: Path, read_by_java: Iterable[Path]) -> list[str]:
    """Use the cache in `shared` that fits these files, or record one in `own` (blocking)."""
    for leftover in own.glob("start-*.aot"):
        leftover.unlink()
    name = f"start-{_fingerprint(read_by_java)}"
    for file in shared.glob(f"{name}-*.aot"):
        if file.stem == f"{name}-{_sum(file)}":
            return [f"-XX:AOTCache={file}"]
    return [f"-XX:AOTCacheOutput={own / name}.aot"]


def share_recorded(shared: Path, own: Path) -> None:
    """Move what a run that has ended recorded in `own`, if it did, to `shared` (blocking)."""
    for recorded in own.glob("start-*.aot"):
        # A disk too full for it costs later starts two seconds, and no more.
        with contextlib.suppress(OSError):
            incoming = shared / f"{recorded.stem}-{_sum(recorded)}.aot.{os.getpid()}"
            shutil.move(recorded, incoming)
            for old in set(shared.glob("start*")) - {incoming}:
                old.unlink()
            incoming.rename(incoming.with_suffix(""))


def _fingerprint(files: Iterable[Path]) -> str:
    # What Java itself compares before it uses a cache.
    seen = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
