"""Storage of a data set: a folder, or a bucket of an S3-compatible object store.

A file appears under its name when it is complete, in both.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from pyarrow import fs

from parley_cli.engines.process.child_process import try_lock
from parley_cli.errors import CommandError

LOCK = "export.lock"
_PARTIAL = ".partial"
_SYNC_THREADS = 16


class StorageError(CommandError):
    """A file cannot be read or written; the message says which one, why, and what to do."""


class Storage(Protocol):
    """`filesystem` and `root` are what pyarrow needs to read the files."""

    filesystem: Any
    root: str

    def __str__(self) -> str: ...
    def exclusive(self) -> AbstractContextManager[None]: ...
    def write(self, path: str, content: bytes) -> None: ...
    def replace(self, path: str, content: bytes) -> None: ...
    def sync(self) -> None: ...
    def read(self, path: str) -> bytes | None: ...
    def paths(self) -> Iterator[str]: ...
    def delete(self, path: str) -> None: ...


def storage_at(target: str) -> Storage:
    """The folder, or the bucket and prefix of an s3:// URL. Raises StorageError."""
    if target.startswith("s3://"):
        return Bucket(target)
    if "://" in target:
        raise StorageError(f"{target} is neither a folder nor an s3:// URL.")
    return Folder(Path(target))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsynced: list[Path] = []
        self.filesystem, self.root = fs.LocalFileSystem(), str(folder.resolve())

    def __str__(self) -> str:
        return str(self._folder)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from writing an export here. Raises StorageError.

        The lock file stays: a process that had opened a deleted one would lock nothing.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / LOCK).open("a")
        except OSError as error:
            raise self._error(self._folder / LOCK, error) from error
        with lock:
            if not try_lock(lock):
                raise StorageError(
                    f"Another process is writing an export into {self._folder}: wait until it has "
                    "ended, or choose another folder."
                )
            yield

    def write(self, path: str, content: bytes) -> None:
        """Write the file; it survives a crash of the machine after `sync`. Raises StorageError."""
        self._write(path, content, synced=False)

    def replace(self, path: str, content: bytes) -> None:
        """Write the file; a crash of the machine leaves it or the previous one, whole.

        Raises StorageError.
        """
        self._write(path, content, synced=True)

    def _write(self, path: str, content: bytes, *, synced: bool) -> None:
        file = self._folder / path
        partial = file.with_name(file.name + _PARTIAL)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(content)
                if synced:
                    _sync(partial)
                partial.replace(file)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            self._unsynced.append(file)
        except OSError as error:
            raise self._error(file, error) from error

    def sync(self) -> None:
        """Write through to the disk what was written since the last time. Raises StorageError."""
        files, self._unsynced = self._unsynced, []
        folders = {parent for file in files for parent in file.parents if self._contains(parent)}
        try:
            # Side by side: a file system writes several files through at the price of one.
            with ThreadPoolExecutor(_SYNC_THREADS) as threads:
                list(threads.map(_sync, [*files, *folders]))
        except OSError as error:
            raise self._error(self._folder, error) from error

    def _contains(self, folder: Path) -> bool:
        return folder == self._folder or self._folder in folder.parents

    def _error(self, file: Path, error: OSError) -> StorageError:
        return StorageError(
            f"{file} cannot be written: {error.strerror}. Make room or choose another folder; an "
            "export continues with --continue."
        )

    def read(self, path: str) -> bytes | None:
        """None if there is no such file. Raises StorageError."""
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"{self._folder / path} cannot be read: {error.strerror}."
            ) from error

    def paths(self) -> Iterator[str]:
        files = (file for file in self._folder.rglob("*") if file.is_file())
        paths = (file.relative_to(self._folder).as_posix() for file in files)
        return (path for path in paths if path != LOCK)

    def delete(self, path: str) -> None:
        (self._folder / path).unlink(missing_ok=True)


class Bucket:
    """Credentials come from where AWS's tools find them: AWS_ACCESS_KEY_ID and the like.

    Parameters of the URL are options of `pyarrow.fs.S3FileSystem`: `endpoint_override`, `region`,
    `scheme`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.partition("?")[0].rstrip("/")
        try:
            self.filesystem, root = fs.FileSystem.from_uri(url)
        except (OSError, ValueError) as error:
            raise StorageError(f"{url} is not a valid s3:// URL: {error}") from error
        self.root = root.rstrip("/")

    def __str__(self) -> str:
        return self._url

    def exclusive(self) -> AbstractContextManager[None]:
        """Without effect: an object store has no locks that end with their process."""
        return nullcontext()

    def write(self, path: str, content: bytes) -> None:
        """Raises StorageError."""
        try:
            with self.filesystem.open_output_stream(f"{self.root}/{path}") as output:
                output.write(content)
        except OSError as error:
            raise self._error("written", path, error) from error

    def replace(self, path: str, content: bytes) -> None:
        """Raises StorageError."""
        self.write(path, content)

    def sync(self) -> None:
        """An object that was written is durable."""

    def read(self, path: str) -> bytes | None:
        """None if there is no such object. Raises StorageError."""
        try:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as source:
                return bytes(source.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", path, error) from error

    def paths(self) -> Iterator[str]:
        selector = fs.FileSelector(self.root, allow_not_found=True, recursive=True)
        try:
            found = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise self._error("listed", "", error) from error
        files = (each.path for each in found if each.type == fs.FileType.File)
        return (path.removeprefix(f"{self.root}/") for path in files)

    def delete(self, path: str) -> None:
        try:
            self.filesystem.delete_file(f"{self.root}/{path}")
        except OSError as error:
            raise self._error("deleted", path, error) from error

    def _error(self, done: str, path: str, error: OSError) -> StorageError:
        return StorageError(
            f"{self._url}/{path} cannot be {done}: {error}. Check the bucket, its region and "
            "endpoint, and the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; an "
            "export continues with --continue."
        )
