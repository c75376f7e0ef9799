"""Whether what a backup has beside sessions is whole: people's search keys, assistants."""

from collections.abc import Iterable

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_session.operations.backup.archive import BackupArchive, Manifest
from parley_session.operations.backup.copy_format import Row, RowsByStream
from parley_session.operations.backup.session_checks import key_trouble
from parley_session.operations.difference_list import DifferenceList
from parley_session.storage.search_keys import place_of


def check_search_keys(
    folders: BackupArchive,
    manifest: Manifest,
    master_keys: MasterKeys | None,
    differences: DifferenceList,
) -> None:
    for number, row in enumerate(folders.rows(manifest, "search_keys"), start=1):
        person = Principal(row["tenant"] or "", row["owner"] or "")
        if trouble := key_trouble(master_keys, row["wrapped_key"] or "", place_of(person)):
            differences.add(f"Row {number} of search_keys {trouble}.")


def check_assistants(
    folders: BackupArchive, manifest: Manifest, differences: DifferenceList
) -> None:
    """Each has all its events, and nothing has to do with another one."""
    beside = {
        name: RowsByStream(folders.rows(manifest, name), "stream_id")
        for name in ("assistant_events", "assistant_outbox")
    }

    def orphan_rows_before(stream_id: str | None) -> None:
        for name, rows in beside.items():
            for stray in rows.before(stream_id):
                differences.add(f"Assistant {stray} is in {name}, and not in assistants.")

    for row in folders.rows(manifest, "assistants"):
        stream_id = row["stream_id"] or ""
        orphan_rows_before(stream_id)
        sequences = {name: _sequences(rows.of(stream_id)) for name, rows in beside.items()}
        due = list(range(1, int(row["sequence"] or "") + 1))
        if sequences["assistant_events"] != due or not {*sequences["assistant_outbox"]} <= {*due}:
            differences.add(f"Assistant {stream_id} has not the events that it should have.")
    orphan_rows_before(None)


def _sequences(rows: Iterable[Row]) -> list[int]:
    return [int(row["sequence"] or "") for row in rows]
