"""`backup` and `restore` in the audit trail."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from session_support.process import Run

from parley_core.storage.postgres_pool import Pool
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.log.audit_chain import AuditChain, chained_record
from parley_session.storage.database import Connection
from parley_session.storage.event_rows import record_from_row

_RECORDS = "SELECT * FROM audit_records WHERE tenant IS NULL ORDER BY sequence"


@pytest.fixture
async def other(run: Run, database: str) -> AsyncIterator[Connection]:
    """A connection to another, migrated store."""
    assert (await run("migrate", database)).code == 0
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def acts(rows: list[asyncpg.Record]) -> list[tuple[str, str, list[Any]]]:
    found = [json.loads(row["data"]) for row in rows]
    assert {each["actor"]["user"] for each in found} == {"operator"}
    return [(each["action"], each["outcome"], each.get("objects", [])) for each in found]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_backup_and_its_restore_are_recorded_in_one_chain(
    run: Run, pool: Pool, runtime_database: str, other: Connection, database: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    assert (await run(f"backup --to {folder}", runtime_database)).code == 0
    backed_up: tuple[str, str, list[Any]] = ("store.backed_up", "allowed", [])
    assert acts(await pool.fetch(_RECORDS)) == [backed_up]
    assert (await run(f"restore --from {folder}", database)).code == 0
    made_at = json.loads((folder / "manifest.json").read_text())["made_at"]
    backup = {"kind": "backup", "id": made_at.replace("Z", "+00:00")}
    rows = await other.fetch(_RECORDS)
    assert acts(rows) == [backed_up, ("store.restored", "done", [backup])]
    chain = AuditChain("the store", found := DifferenceList())
    for row in rows:
        record = record_from_row(row["stream_id"], row)
        chain.add(chained_record(row["stream_id"], row["sequence"], record))
    assert found.count == 0
    head = await other.fetchrow("SELECT sequence, hash FROM audit_chain")
    assert tuple(head or ()) == (chain.last_sequence, chain.last_hash)


async def test_a_backup_that_cannot_be_recorded_writes_no_file(
    run: Run, other: Connection, database: str, tmp_path: Path
) -> None:
    await other.execute("DROP FUNCTION append_audit_record")
    folder = tmp_path / "backup"
    assert (await run(f"backup --to {folder}", database)).code == 1
    assert files_in(folder) == []
