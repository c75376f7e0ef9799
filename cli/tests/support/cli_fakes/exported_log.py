"""A topic, and exports of it into a folder, in this process or in one that can be killed."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cli_fakes.tailed_log import TailedLog
from parley_cli.log.dataset.manifest import Manifest, Selection, load_manifest
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.export.command import ExportOptions, export_log
from parley_cli.log.export.exporter import ExportLimits
from parley_cli.service_commands.locations import SessionAccess
from parley_core.log import Brokers
from parley_events.asyncapi.streams import STREAMS

_FILE_OPERATIONS = ("open", "os.rename", "os.remove")
# A checkpoint after each part, and many parts.
SMALL_PARTS = ExportLimits(max_part_events=100, checkpoint_seconds=0)


class ExportedLog:
    def __init__(self, log: TailedLog, folder: Path) -> None:
        self.log, self.folder = log, folder
        self.storage = storage_at(str(folder))

    async def export(self, keys: SessionAccess | None = None, **options: Any) -> Manifest:
        """`options` are those of ExportOptions and of Selection."""
        resume, limits = options.pop("resume", False), options.pop("limits", ExportLimits())
        selection = Selection(**options) if options or not resume else None
        return await export_log(
            self.log.brokers,
            self.storage,
            ExportOptions(selection, resume, limits),
            (lambda: keys) if keys else None,
            (replace(STREAMS[0], topic=self.log.topic),),
        )

    def rows(self, kind: type[Any] | None = None) -> list[dict[str, Any]]:
        """The rows of the files that the manifest names, in the order of the log."""
        rows: list[dict[str, Any]] = []
        for file in load_manifest(self.storage).files:
            if kind is None or file.type == kind.TYPE:
                table = pq.read_table(self.folder / file.path, partitioning=None)
                rows += [{"type": file.type, "day": file.day, **row} for row in table.to_pylist()]
        return sorted(rows, key=lambda row: (row["log_partition"], row["log_offset"]))

    def positions(self) -> list[tuple[str, int]]:
        """Session and sequence of each row."""
        return [(row["session_id"], row["sequence"]) for row in self.rows()]


def export_until_killed(bootstrap: str, topic: str, folder: str, file_operations: int) -> None:
    """Start or continue an export: the body of a process that kills itself.

    It dies before it opens, renames or deletes a file of the export for the given time.
    """
    operations = count(1)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        of_export = event in _FILE_OPERATIONS and folder in str(arguments[0])
        if of_export and next(operations) == file_operations:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    asyncio.run(
        export_log(
            Brokers(bootstrap),
            storage_at(folder),
            ExportOptions(Selection(), resume=True, limits=SMALL_PARTS),
            streams=(replace(STREAMS[0], topic=topic),),
        )
    )
