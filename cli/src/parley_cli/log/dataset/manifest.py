"""Manifest of an export: its files with their checksums, and its positions in the log.

`manifest.json` is written last and only describes complete exports: a file that it does not name is
not part of the export. While an export runs, `progress.json` has the same form and describes what
it has written so far; `--continue` begins with it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_tables import Undecodable
from parley_cli.log.dataset.raw_events import RawEvent
from parley_cli.log.dataset.storage_location import Storage

FORMAT = 1
SESSIONS = "sessions"
"""The channel of the stream of sessions; options with positions are about it."""
MANIFEST, PROGRESS = "manifest.json", "progress.json"
MAX_LISTED = 100

# A type is part of a path and the name of a view, neither of which tells case apart everywhere.
EVENT_TYPE = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+"

FileFormat = Literal["parquet", "arrow", "ndjson"]


class Selection(Struct, frozen=True, kw_only=True):
    """What an export selects. Empty and None fields select everything.

    Positions map partitions of the sessions topic to offsets; with `starts`, other partitions are
    left out.
    """

    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    content: bool = False
    file_format: FileFormat = "parquet"

    @property
    def starts_midway(self) -> bool:
        return bool(self.starts) or self.since is not None


class PartFile(Struct, frozen=True):
    path: str
    type: Annotated[str, Meta(pattern=rf"\A{EVENT_TYPE}\Z")]
    day: str
    rows: int
    bytes: int
    sha256: str


class UndecodableRecords(Struct, frozen=True):
    """The number of records that are no events, and the first ones."""

    count: int = 0
    first: tuple[Undecodable, ...] = ()

    def plus(self, more: Sequence[Undecodable]) -> "UndecodableRecords":
        if not more:
            return self
        return UndecodableRecords(self.count + len(more), (*self.first, *more)[:MAX_LISTED])


class StreamState(Struct, frozen=True, kw_only=True):
    """The state of one stream; positions map partitions to the offset of the next record.

    `applied` is the path of the file with the last event of each session that was exported.
    """

    topic: str
    positions: dict[int, int] = {}
    repeats: int = 0
    applied: str | None = None
    deferred: list[RawEvent] = []
    forked: dict[str, int] = {}
    undecodable: UndecodableRecords = UndecodableRecords()
    unopened_fields: int = 0


class Manifest(Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    parley: str = field(default_factory=lambda: version("parley-cli"))
    selection: Selection
    revision: int = 0
    next_part: int = 1
    streams: dict[str, StreamState] = {}
    files: list[PartFile] = []

    @property
    def events(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def paths(self) -> set[str]:
        states = (stream.applied for stream in self.streams.values() if stream.applied)
        return {file.path for file in self.files} | set(states)


class _Version(Struct):
    """The fields of a manifest that every format has."""

    format: int
    parley: str = ""


class NoExport(CommandError):
    """The storage has no complete export; the message says what it has."""


def load_manifest(storage: Storage) -> Manifest:
    """The manifest of a complete export. Raises NoExport, StorageError."""
    if (manifest := _load(storage, MANIFEST)) is not None:
        return manifest
    if _load(storage, PROGRESS) is not None:
        raise NoExport(
            f"The export in {storage} was interrupted and is incomplete: finish it with "
            f"`parley log export --to {storage} --continue`."
        )
    raise NoExport(
        f"{storage} has no {MANIFEST}, so it is no export: write one with "
        f"`parley log export --to {storage}`."
    )


def load_progress(storage: Storage) -> tuple[Manifest | None, Manifest | None]:
    """The manifest of the complete export, and the latest state, from which one continues.

    Raises NoExport, StorageError.
    """
    complete, running = _load(storage, MANIFEST), _load(storage, PROGRESS)
    if running is None or (complete is not None and complete.revision >= running.revision):
        return complete, complete
    return complete, running


def save(storage: Storage, path: str, manifest: Manifest) -> None:
    """Write the manifest after the files that it names are on the disk. Raises StorageError."""
    storage.sync()
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    storage.replace(path, encoded + b"\n")
    storage.sync()


def positions_text(positions: Mapping[int, int]) -> str:
    """The form in which `--as-of` takes positions: `0:17,1:12`."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def _load(storage: Storage, path: str) -> Manifest | None:
    if (encoded := storage.read(path)) is None:
        return None
    try:
        written = msgspec.json.decode(encoded, type=_Version)
        if written.format != FORMAT:
            raise NoExport(
                f"The export in {storage} has the format {written.format}, and this version of "
                f"Parley reads {FORMAT}: export again into another folder, or use version "
                f"{written.parley}, which wrote it."
            )
        return msgspec.json.decode(encoded, type=Manifest)
    except msgspec.DecodeError as error:
        raise NoExport(
            f"{path} in {storage} is not a manifest of an export: {error}. Export again into "
            "another folder."
        ) from None
