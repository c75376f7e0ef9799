"""`verify-backup`: checks that the files are unchanged and form a complete event store."""

import hashlib

from parley_core.crypto.master_keys import MasterKeys
from parley_session.operations.backup.archive import BackupArchive, Manifest
from parley_session.operations.backup.other_checks import (
    check_assistants,
    check_installation_key,
    check_search_keys,
)
from parley_session.operations.backup.session_checks import check_sessions
from parley_session.operations.difference_list import DifferenceList

_CHUNK_BYTES = 1024 * 1024


def verify_backup(archive: BackupArchive, master_keys: MasterKeys | None) -> int:
    """Print the result; return the exit code, 1 if anything differs. Raises BackupError.

    Memory: one session.
    """
    manifest = archive.manifest()
    differences = _changed_files(archive, manifest)
    # Rows of changed files would only add follow-up errors.
    if not differences.count:
        try:
            check_sessions(archive, manifest, master_keys, differences)
            check_search_keys(archive, manifest, master_keys, differences)
            check_installation_key(archive, manifest, master_keys, differences)
            check_assistants(archive, manifest, differences)
        except ValueError:
            # The message may quote a row.
            differences.add("A file has malformed rows.")
    return _report(manifest, differences, with_keys=master_keys is not None)


def _changed_files(archive: BackupArchive, manifest: Manifest) -> DifferenceList:
    differences = DifferenceList()
    for file in manifest.files:
        path = archive.path(file.name, file.folder)
        digest, size = hashlib.sha256(), 0
        try:
            with archive.open(file.name, file.folder) as opened:
                while chunk := opened.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
        except OSError as error:
            differences.add(f"{path} cannot be read: {error.strerror}.")
            continue
        if digest.hexdigest() != file.sha256:
            differences.add(
                f"{path} was changed: it has {size:,} bytes, {file.bytes:,} were written."
            )
    return differences


def _report(manifest: Manifest, differences: DifferenceList, *, with_keys: bool) -> int:
    if differences.count:
        differences.print_under(f"The backup is invalid: {differences.count:,} differences")
        return 1
    rows = {file.name: file.rows for file in manifest.files}
    print(
        f"The backup of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC is complete: "
        f"{rows['sessions']:,} sessions, {rows['events']:,} events."
    )
    if not with_keys:
        print("PARLEY_MASTER_KEY is not set: the keys were not checked.")
    return 0
