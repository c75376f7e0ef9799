"""Layout of a backup on disk, and its manifest, which is written last."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from parley_session.operations.backup.copy_format import Row, rows_in
from parley_session.operations.backup.joined_files import open_joined
from parley_session.operations.backup.tables import Folder

MANIFEST = "manifest.json"
_BUFFER_BYTES = 1024 * 1024


class BackupError(Exception):
    """The backup cannot be written, read or restored; the message is a sentence."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackupFile(_Strict):
    """Rows in the text format of COPY, in UTF-8."""

    name: str
    folder: Folder
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str


class Manifest(_Strict):
    """`migrations` holds the digests of the applied migrations, by number."""

    format: Literal["parley-backup-1"] = "parley-backup-1"
    made_at: datetime
    migrations: Mapping[int, str]
    left_out: tuple[str, ...]
    files: tuple[BackupFile, ...]

    def file(self, name: str) -> BackupFile:
        """Raises BackupError if there is none."""
        for file in self.files:
            if file.name == name:
                return file
        raise BackupError(f"The backup has no file {name}: another version wrote it.")


@dataclass(frozen=True)
class BackupArchive:
    """The folder of a backup and that of its keys, which may be stored elsewhere."""

    store: Path
    keys: Path

    @classmethod
    def at(cls, store: Path, keys: Path | None) -> "BackupArchive":
        return cls(store, keys or store / "keys")

    def path(self, name: str, folder: Folder) -> Path:
        return (self.keys if folder == "keys" else self.store) / file_name(name)

    def __str__(self) -> str:
        return f"to {self.store}; their keys to {self.keys}"

    @contextmanager
    def new_file(self, name: str, folder: Folder) -> Iterator[Callable[[bytes], object]]:
        """Write a file, which is durable at the end of the block. Raises BackupError."""
        path = self.path(name, folder)
        try:
            with os.fdopen(create_private_file(path), "wb", buffering=_BUFFER_BYTES) as file:
                yield file.write
                file.flush()
                os.fsync(file.fileno())
        except (ConnectionError, TimeoutError):
            raise  # Of the database.
        except OSError as error:
            raise BackupError(f"{path} cannot be written: {error.strerror}.") from None

    def create(self) -> None:
        """Create both folders. Raises BackupError unless they are new or empty."""
        try:
            for folder in (self.store, self.keys):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if any(folder.iterdir()):
                    raise BackupError(f"{folder} is not empty: choose a new or an empty folder.")
        except OSError as error:
            raise BackupError(f"{folder} cannot be created: {error.strerror}.") from None

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which makes the backup valid. Raises BackupError."""
        try:
            unfinished = self.store / f"{MANIFEST}.new"
            with os.fdopen(create_private_file(unfinished), "w") as file:
                file.write(manifest.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            for folder in {self.store, self.keys}:
                _sync_folder(folder)
            unfinished.rename(self.store / MANIFEST)
            _sync_folder(self.store)
        except OSError as error:
            raise BackupError(f"{self.store} cannot be written: {error.strerror}.") from None

    def manifest(self) -> Manifest:
        """Raises BackupError if the backup is incomplete."""
        path = self.store / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise BackupError(
                f"{self.store} is not a complete backup: {MANIFEST}, written last, is missing."
            ) from None
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
        except ValidationError:
            raise BackupError(f"{path} is damaged, or another version wrote it.") from None

    def rows(self, manifest: Manifest, name: str) -> Iterator[Row]:
        """Rows of the file with that name. Raises ValueError for malformed rows."""
        file = manifest.file(name)
        return rows_in(self.open(name, file.folder), file.columns)

    def open(self, name: str, folder: Folder) -> BinaryIO:
        """Open a file of rows, which a tar stream contains in pieces. Raises OSError."""
        whole = self.path(name, folder)
        pieces = sorted(whole.parent.glob(f"{whole.name}.*"))
        return open_joined(pieces or [whole])


def file_name(name: str) -> str:
    return f"{name}.copy"


def create_private_file(path: Path) -> int:
    """The descriptor of a new file that only its owner can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the names of new files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
