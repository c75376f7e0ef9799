"""Where a backup's files lie, and the manifest that names them all: written last."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from parley_session.operations.backup.copy_format import Row, rows_in
from parley_session.operations.backup.tables import Folder

MANIFEST = "manifest.json"


class BackupError(Exception):
    """It cannot be written, read or restored; the message is a sentence."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackupFile(_Strict):
    """Rows as COPY writes them in its text format, in UTF-8."""

    name: str
    folder: Folder
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str


class Manifest(_Strict):
    """`migrations` has the digest of each that the store was at, by its number."""

    format: Literal["parley-backup-1"] = "parley-backup-1"
    made_at: datetime
    migrations: Mapping[int, str]
    left_out: tuple[str, ...]
    files: tuple[BackupFile, ...]

    def file(self, name: str) -> BackupFile:
        """Raises BackupError where there is none."""
        for file in self.files:
            if file.name == name:
                return file
        raise BackupError(f"The backup has no {name}: it is of another version.")


@dataclass(frozen=True)
class BackupArchive:
    """The folder of a backup, and that of its keys, which may be kept elsewhere."""

    store: Path
    keys: Path

    @classmethod
    def at(cls, store: Path, keys: Path | None) -> "BackupArchive":
        return cls(store, keys or store / "keys")

    def path(self, name: str, folder: Folder) -> Path:
        return (self.keys if folder == "keys" else self.store) / f"{name}.copy"

    def make(self) -> None:
        """Raises BackupError unless both are new or empty."""
        try:
            for folder in (self.store, self.keys):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if any(folder.iterdir()):
                    raise BackupError(
                        f"{folder} is not empty: name a folder that is, or a new one."
                    )
        except OSError as error:
            raise BackupError(f"{folder} cannot be used: {error.strerror}.") from None

    def finish(self, manifest: Manifest) -> None:
        """From now on it is a backup. Raises BackupError."""
        try:
            unfinished = self.store / f"{MANIFEST}.new"
            with os.fdopen(created(unfinished), "w") as file:
                file.write(manifest.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            for folder in {self.store, self.keys}:
                _keep_names(folder)
            unfinished.rename(self.store / MANIFEST)
            _keep_names(self.store)
        except OSError as error:
            raise BackupError(f"{self.store} cannot be written: {error.strerror}.") from None

    def manifest(self) -> Manifest:
        """Raises BackupError where there is no whole backup."""
        path = self.store / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise BackupError(
                f"{self.store} holds no whole backup: {MANIFEST}, written last, is missing."
            ) from None
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
        except ValidationError:
            raise BackupError(f"{path} is damaged, or of another version.") from None

    def rows(self, manifest: Manifest, name: str) -> Iterator[Row]:
        """Of the file of that name. Raises ValueError where it is no such file."""
        file = manifest.file(name)
        return rows_in(self.path(name, file.folder), file.columns)


def created(path: Path) -> int:
    """The descriptor of a new file that only its owner can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _keep_names(folder: Path) -> None:
    """So that the files are found in it after a crash, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
