"""Comparison of an export with the log, by `parley log verify --export`."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parley_cli.log.dataset.export_writer import ExportWriter
from parley_cli.log.dataset.manifest import Manifest, Selection, load_manifest
from parley_cli.log.dataset.storage_location import Storage, storage_at
from parley_cli.log.export.comparison_repository import Comparison, compare_exports
from parley_cli.log.export.verify import damaged_files
from parley_cli.log.generation.command import simulated_events, write_sessions

REPLIES = "parley.session.reply_completed.v1"


def written(
    folder: Path,
    file_format: Literal["parquet", "arrow", "ndjson"] = "parquet",
    *,
    content: bool = False,
    sessions: int = 20,
) -> Storage:
    storage = storage_at(str(folder))
    selection = Selection(file_format=file_format, content=content)
    writer = ExportWriter(storage, Manifest(selection=selection))
    write_sessions(writer, simulated_events(sessions, seed=6, days=2), content=content)
    writer.complete()
    return storage


def compared(exported: Storage, logged: Storage) -> Comparison:
    return compare_exports((exported, load_manifest(exported)), (logged, load_manifest(logged)))


@pytest.mark.parametrize("file_format", ["parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("content", [False, True])
def test_an_export_agrees_with_one_made_again(
    tmp_path: Path, file_format: Literal["parquet", "arrow", "ndjson"], content: bool
) -> None:
    exported = written(tmp_path / "exported", file_format, content=content)
    again = written(tmp_path / "again", file_format)
    comparison = compared(exported, again)
    assert comparison.differences == []
    assert comparison.exported == comparison.logged == load_manifest(exported).events
    assert comparison.checksum


@pytest.mark.parametrize("file_format", ["parquet", "ndjson"])
def test_an_event_that_is_only_in_the_log_is_named(
    tmp_path: Path, file_format: Literal["parquet", "ndjson"]
) -> None:
    exported = written(tmp_path / "exported", file_format, sessions=20)
    log = written(tmp_path / "log", file_format, sessions=21)
    comparison = compared(exported, log)
    assert comparison.difference_count > 0
    assert comparison.logged > comparison.exported


def test_a_changed_row_differs_and_a_removed_row_is_only_in_the_log(tmp_path: Path) -> None:
    exported, log = written(tmp_path / "exported"), written(tmp_path / "log")
    manifest = load_manifest(exported)
    file = next(file for file in manifest.files if file.type == REPLIES and file.rows > 2)
    table = pq.read_table(tmp_path / "exported" / file.path, partitioning=None)
    first, second, *_ = zip(
        table["log_partition"].to_pylist(), table["log_offset"].to_pylist(), strict=True
    )
    times = table["total_ms"].to_pylist()
    index = table.schema.get_field_index("total_ms")
    changed = table.set_column(
        index, table.schema.field(index), pa.array([times[0] + 1, *times[1:]], pa.int32())
    )
    rest = pa.concat_tables([changed.slice(0, 1), changed.slice(2)])
    pq.write_table(rest, tmp_path / "exported" / file.path)
    assert compared(exported, log).differences == [
        f"The {REPLIES} at {partition}:{offset} {what}."
        for (partition, offset), what in sorted(
            [(first, "differs"), (second, "is only in the log")]
        )
    ]
    [damaged] = damaged_files(exported, manifest)
    assert damaged.startswith(file.path)


def test_a_file_that_is_missing_or_longer_is_named(tmp_path: Path) -> None:
    exported = written(tmp_path / "exported")
    manifest = load_manifest(exported)
    first, second, *_ = manifest.files
    exported.delete(first.path)
    exported.write(second.path, b"more")
    assert [sentence.split()[0] for sentence in damaged_files(exported, manifest)] == [
        first.path,
        second.path,
    ]
