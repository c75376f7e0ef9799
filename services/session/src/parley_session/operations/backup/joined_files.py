"""One readable file made of several, in which a tar stream splits a file of unknown size."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

_BUFFER_BYTES = 1024 * 1024


def open_joined(paths: Sequence[Path]) -> BinaryIO:
    """Open the files as one. Raises OSError."""
    return cast(BinaryIO, io.BufferedReader(_JoinedFiles(paths), _BUFFER_BYTES))


class _JoinedFiles(io.RawIOBase):
    def __init__(self, paths: Sequence[Path]) -> None:
        self._rest = list(paths)
        self._current: io.FileIO | None = None
        self._open_next()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "io.ReadableBuffer") -> int:  # type: ignore[name-defined]
        while self._current is not None:
            if count := self._current.readinto(buffer):
                return count
            self._open_next()
        return 0

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
        super().close()

    def _open_next(self) -> None:
        if self._current is not None:
            self._current.close()
        self._current = io.FileIO(self._rest.pop(0)) if self._rest else None
