"""`backup --to -`: a tar stream that is a backup once it is unpacked."""

import tarfile
from pathlib import Path

import pytest
from session_support.appending import append_turns
from session_support.components import Components
from session_support.process import Run, variables

from parley_core.storage.postgres_pool import Pool
from parley_session.operations.backup import tar_stream
from parley_session.operations.backup.archive import BackupArchive
from parley_session.operations.backup.tar_stream import TarStream
from parley_session.operations.backup.write import back_up
from parley_session.settings import BackupSettings
from parley_session.storage.database import DatabaseSettings
from parley_testing.processes import started


async def test_a_backup_to_standard_output_is_restored_after_unpacking(
    run: Run,
    components: Components,
    pool: Pool,
    runtime_database: str,
    database: str,
    tmp_path: Path,
) -> None:
    await append_turns(components, 5)
    stream, folder = tmp_path / "backup.tar", tmp_path / "backup"
    process = await started("parley_session", "backup", "--to", "-", **variables(runtime_database))
    out, log = await process.communicate()
    assert process.returncode == 0, log
    assert b"Backed up 1 sessions" in log
    stream.write_bytes(out)
    with tarfile.open(stream) as unpacked:
        assert unpacked.getnames()[-1] == "manifest.json"
        assert {each.mode for each in unpacked} == {0o600}
        unpacked.extractall(folder, filter="data")
    assert (await run(f"verify-backup --from {folder}", runtime_database)).code == 0
    assert (await run("migrate", database)).code == 0
    ended = await run(f"restore --from {folder}", database)
    assert ended.code == 0, ended


async def test_a_file_in_several_pieces_is_read_as_one(
    components: Components, runtime_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_stream, "PIECE_BYTES", 100)
    session_id = await append_turns(components, 5)
    stream = tmp_path / "backup.tar"
    settings = BackupSettings(database=DatabaseSettings(url=runtime_database))
    with stream.open("wb") as output:
        assert await back_up(settings, TarStream(output)) == 0
    with tarfile.open(stream) as unpacked:
        assert sum(each.name.startswith("events.copy.") for each in unpacked) > 10
        unpacked.extractall(tmp_path, filter="data")
    archive = BackupArchive.at(tmp_path, None)
    rows = [*archive.rows(archive.manifest(), "events")]
    assert {row["session_id"] for row in rows} == {str(session_id)}


async def test_keys_apart_are_refused(run: Run, runtime_database: str, tmp_path: Path) -> None:
    ended = await run(f"backup --to - --keys {tmp_path}", runtime_database)
    assert ended.code == 1
