"""Fingerprint of files: changes when one of them is replaced, truncated or copied."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(files: Iterable[Path]) -> str:
    # Paths, sizes and times are also what Java compares before it uses an AOT cache.
    attributes = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(attributes).encode()).hexdigest()[:16]
