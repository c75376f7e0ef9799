"""Folders into which an export does not write, and files that it leaves alone."""

from pathlib import Path

import pytest

from parley_cli.errors import CommandError
from parley_cli.log.dataset.export_writer import ExportWriter
from parley_cli.log.dataset.manifest import Manifest, Selection, StreamState, load_manifest
from parley_cli.log.dataset.storage_location import StorageError, storage_at
from parley_cli.log.export.command import ExportOptions, export_log
from parley_cli.log.generation.command import generate
from parley_core.log import Brokers

FOREIGN = (
    "notes.txt",
    "sessions/type=mine/notes.txt",
    "sessions/type=mine/day=2026-11-24/copy.parquet",
    "state/backup.arrow",
)


async def export(folder: Path, *, resume: bool = False) -> Manifest:
    """Export no stream at all, so without Kafka."""
    options = ExportOptions(None if resume else Selection(), resume)
    return await export_log(Brokers("localhost:1"), storage_at(str(folder)), options, streams=())


def add_foreign_files(folder: Path) -> None:
    for path in FOREIGN:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("kept")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_two_exports_never_write_into_the_same_folder(tmp_path: Path) -> None:
    with storage_at(str(tmp_path)).exclusive():
        with pytest.raises(StorageError):
            await export(tmp_path)
        with pytest.raises(StorageError):
            generate(str(tmp_path), 1, 1, days=1, content=False)
    assert files(tmp_path) == {"export.lock"}
    await export(tmp_path)
    assert load_manifest(storage_at(str(tmp_path))).files == []


@pytest.mark.parametrize("resume", [False, True])
async def test_a_folder_that_has_no_export_is_refused_and_left_as_it_is(
    tmp_path: Path, resume: bool
) -> None:
    add_foreign_files(tmp_path)
    with pytest.raises(CommandError):
        await export(tmp_path, resume=resume)
    assert files(tmp_path) == set(FOREIGN)


async def test_files_of_others_in_the_folder_of_an_export_are_kept(tmp_path: Path) -> None:
    await export(tmp_path)
    add_foreign_files(tmp_path)
    await export(tmp_path, resume=True)
    assert files(tmp_path) == {*FOREIGN, "manifest.json", "export.lock"}


def test_superseded_states_are_deleted_while_an_export_runs(tmp_path: Path) -> None:
    storage, state = storage_at(str(tmp_path)), StreamState(topic="sessions")
    complete = ExportWriter(storage, Manifest(selection=Selection()))
    complete.checkpoint("sessions", state, {})
    complete.complete()
    running = ExportWriter(storage, load_manifest(storage))
    for _ in range(3):
        running.checkpoint("sessions", state, {})
    states = {path for path in storage.paths() if path.startswith("state/")}
    assert states == complete.manifest.paths | running.manifest.paths
    assert len(states) == 2
