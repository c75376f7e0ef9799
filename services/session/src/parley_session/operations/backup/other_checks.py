"""Verifies the search keys, the installation key and the assistants of a backup."""

from collections.abc import Iterable

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_session.operations.backup.archive import BackupArchive, Manifest
from parley_session.operations.backup.copy_format import Row, RowsByStream
from parley_session.operations.backup.session_checks import key_problem
from parley_session.operations.difference_list import DifferenceList
from parley_session.storage.keys.installation_key import WRAPPING_ID
from parley_session.storage.keys.search_keys import wrapping_id


def check_search_keys(
    archive: BackupArchive,
    manifest: Manifest,
    master_keys: MasterKeys | None,
    differences: DifferenceList,
) -> None:
    for number, row in enumerate(archive.rows(manifest, "search_keys"), start=1):
        principal = Principal(row["tenant"] or "", row["owner"] or "")
        if problem := key_problem(master_keys, row["wrapped_key"] or "", wrapping_id(principal)):
            differences.add(f"Row {number} of search_keys {problem}.")


def check_installation_key(
    archive: BackupArchive,
    manifest: Manifest,
    master_keys: MasterKeys | None,
    differences: DifferenceList,
) -> None:
    for row in archive.rows(manifest, "installation_key"):
        if problem := key_problem(master_keys, row["wrapped_key"] or "", WRAPPING_ID):
            differences.add(f"The installation key {problem}.")


def check_assistants(
    archive: BackupArchive, manifest: Manifest, differences: DifferenceList
) -> None:
    """Every assistant has all its events, and every event has an assistant."""
    beside = {
        name: RowsByStream(archive.rows(manifest, name), "stream_id")
        for name in ("assistant_events", "assistant_outbox")
    }

    def orphan_rows_before(stream_id: str | None) -> None:
        for name, rows in beside.items():
            for orphan in rows.before(stream_id):
                differences.add(f"Assistant {orphan} is in {name}, but not in assistants.")

    for row in archive.rows(manifest, "assistants"):
        stream_id = row["stream_id"] or ""
        orphan_rows_before(stream_id)
        sequences = {name: _sequences(rows.of(stream_id)) for name, rows in beside.items()}
        due = list(range(1, int(row["sequence"] or "") + 1))
        if sequences["assistant_events"] != due or not {*sequences["assistant_outbox"]} <= {*due}:
            differences.add(f"Assistant {stream_id} has missing or unexpected events.")
    orphan_rows_before(None)


def _sequences(rows: Iterable[Row]) -> list[int]:
    return [int(row["sequence"] or "") for row in rows]
