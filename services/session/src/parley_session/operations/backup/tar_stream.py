"""Backup as a tar stream, for a pipe to an object store: nothing is written to disk here."""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from parley_session.operations.backup.archive import (
    MANIFEST,
    BackupError,
    Manifest,
    file_name,
)
from parley_session.operations.backup.tables import Folder

# The size of a file precedes it in a tar stream, so it is sent in pieces that are in memory.
PIECE_BYTES = 8 * 1024 * 1024


class TarStream:
    """Unpacked into a folder, it is the backup that `BackupArchive` reads; keys are in `keys/`."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._tar: tarfile.TarFile | None = None

    def __str__(self) -> str:
        return "as a tar stream, with their keys in its folder keys"

    def create(self) -> None:
        """Begin the stream. Raises BackupError."""
        with _errors_of_pipe():
            self._tar = tarfile.TarFile.open(fileobj=self._output, mode="w|")

    @contextmanager
    def new_file(self, name: str, folder: Folder) -> Iterator[Callable[[bytes], object]]:
        """Send a file in pieces. Raises BackupError."""
        path = f"keys/{file_name(name)}" if folder == "keys" else file_name(name)
        buffered, number = bytearray(), 0

        def write(data: bytes) -> None:
            nonlocal number
            buffered.extend(data)
            while len(buffered) >= PIECE_BYTES:
                number += 1
                self._add(f"{path}.{number:06}", bytes(buffered[:PIECE_BYTES]))
                del buffered[:PIECE_BYTES]

        yield write
        self._add(f"{path}.{number + 1:06}", bytes(buffered))

    def finish(self, manifest: Manifest) -> None:
        """Send the manifest, which makes the backup valid, and end. Raises BackupError."""
        self._add(MANIFEST, manifest.model_dump_json(indent=2).encode())
        with _errors_of_pipe():
            assert self._tar is not None
            self._tar.close()
            self._output.flush()

    def _add(self, path: str, content: bytes) -> None:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(content), 0o600
        with _errors_of_pipe():
            assert self._tar is not None
            self._tar.addfile(entry, io.BytesIO(content))


@contextmanager
def _errors_of_pipe() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"The output cannot be written: {error.strerror}.") from None
