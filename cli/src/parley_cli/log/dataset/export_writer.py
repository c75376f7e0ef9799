"""Writes collected events into storage in parts, and the state from which an export continues."""

import io
import re
from collections.abc import Mapping
from typing import get_args

import pyarrow as pa
from msgspec.structs import replace

from parley_cli.log.dataset.event_tables import Undecodable, by_type, event_tables
from parley_cli.log.dataset.manifest import (
    MANIFEST,
    PROGRESS,
    FileFormat,
    Manifest,
    StreamState,
    save,
)
from parley_cli.log.dataset.part_files import Opened, encode_part, part_file, part_path
from parley_cli.log.dataset.storage_location import Storage, StorageError
from parley_events.asyncapi.streams import STREAMS
from parley_events.consumer_rule import Applied

STATE_FOLDER = "state"
_CHANNELS = "|".join(stream.channel for stream in STREAMS)
_FILE_OF_AN_EXPORT = re.compile(
    rf"(?:(?:{_CHANNELS})/type=[^/]+/day=[^/]+/part-\d{{6,}}\.(?:{'|'.join(get_args(FileFormat))})"
    rf"|{STATE_FOLDER}/(?:{_CHANNELS})-\d{{6,}}\.arrow"
    rf"|{re.escape(MANIFEST)}|{re.escape(PROGRESS)})(?:\.partial)?"
)
_APPLIED = pa.schema([("session", pa.string()), ("sequence", pa.int32()), ("id", pa.string())])

AppliedEvents = Mapping[bytes, "Applied[bytes]"]


class ExportWriter:
    """Writes parts, which count once a checkpoint names them; `manifest` is the last state."""

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self._storage, self.manifest = storage, manifest
        self._files = list(manifest.files)
        self._next_part = manifest.next_part
        self._written_states: dict[str, str] = {}

    def write_parts(self, events: pa.Table, opened: Opened | None) -> list[Undecodable]:
        """Write one file per type and day; return the records that are no events.

        `events` have the form of RAW_SCHEMA. Raises StorageError.
        """
        undecodable: list[Undecodable] = []
        file_format = self.manifest.selection.file_format
        for event_type, of_type in by_type(events):
            for day, rows in event_tables(event_type, of_type):
                part = encode_part(rows, file_format, opened)
                undecodable += part.undecodable
                if part.rows:
                    path = part_path(event_type, day, self._next_part, file_format)
                    self._storage.write(path, part.content)
                    self._files.append(part_file(path, event_type, day, part))
        self._next_part += 1
        return undecodable

    def checkpoint(self, channel: str, state: StreamState, applied: AppliedEvents) -> None:
        """Make the parts written so far count, with the state after them. Raises StorageError.

        The previous state that this writer wrote is deleted.
        """
        previous = self.manifest
        revision = previous.revision + 1
        path = f"{STATE_FOLDER}/{channel}-{revision:06}.arrow"
        self._storage.write(path, _encode_applied(applied))
        self.manifest = replace(
            previous,
            revision=revision,
            next_part=self._next_part,
            streams={**previous.streams, channel: replace(state, applied=path)},
            files=list(self._files),
        )
        save(self._storage, PROGRESS, self.manifest)
        if (superseded := self._written_states.get(channel)) is not None:
            self._storage.delete(superseded)
        self._written_states[channel] = path

    def complete(self) -> None:
        """Write the manifest, last, and delete what is no longer needed. Raises StorageError."""
        self.manifest = replace(self.manifest, revision=self.manifest.revision + 1)
        save(self._storage, MANIFEST, self.manifest)
        self._storage.delete(PROGRESS)
        delete_unnamed_files(self._storage, self.manifest)


def delete_unnamed_files(storage: Storage, *manifests: Manifest | None) -> None:
    """Delete the files of an interrupted run that no manifest names. Raises StorageError."""
    named = {MANIFEST, PROGRESS}.union(*(each.paths for each in manifests if each))
    for path in list(storage.paths()):
        if path not in named and _FILE_OF_AN_EXPORT.fullmatch(path):
            storage.delete(path)


def load_applied(storage: Storage, path: str | None) -> dict[bytes, "Applied[bytes]"]:
    """Raises StorageError."""
    if path is None:
        return {}
    if (content := storage.read(path)) is None:
        raise StorageError(f"{storage}/{path} is missing: export again into another folder.")
    table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
    return {
        session.encode(): Applied(sequence, event_id.encode())
        for session, sequence, event_id in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        )
    }


def _encode_applied(applied: AppliedEvents) -> bytes:
    sequences, ids = zip(*applied.values(), strict=True) if applied else ((), ())
    columns = [list(applied), sequences, ids]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, _APPLIED, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=_APPLIED)
    output = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(output, _APPLIED, options=options) as writer:
        writer.write_table(table)
    return output.getvalue()
