"""`verify-backup`: whether the files are as they were written, and make a whole event store."""

import hashlib

from parley_core.crypto.master_keys import MasterKeys
from parley_session.operations.backup.archive import BackupArchive, Manifest
from parley_session.operations.backup.other_checks import check_assistants, check_search_keys
from parley_session.operations.backup.session_checks import check_sessions
from parley_session.operations.difference_list import DifferenceList


def verify_backup(folders: BackupArchive, master_keys: MasterKeys | None) -> int:
    """Print what was found; the exit code, 1 where something is wrong. Raises BackupError.

    Memory: one session.
    """
    manifest = folders.manifest()
    differences = _unlike_written(folders, manifest)
    # What is not as it was written tells nothing more.
    if not differences.count:
        try:
            check_sessions(folders, manifest, master_keys, differences)
            check_search_keys(folders, manifest, master_keys, differences)
            check_assistants(folders, manifest, differences)
        except ValueError:
            # Its sentence may quote a row.
            differences.add("A file has rows that are none.")
    return _report(manifest, differences, with_keys=master_keys is not None)


def _unlike_written(folders: BackupArchive, manifest: Manifest) -> DifferenceList:
    differences = DifferenceList()
    for file in manifest.files:
        path = folders.path(file.name, file.folder)
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            differences.add(f"{path} cannot be read: {error.strerror}.")
            continue
        if digest != file.sha256:
            differences.add(
                f"{path} is not what was written: {path.stat().st_size:,} bytes, "
                f"{file.bytes:,} were written."
            )
    return differences


def _report(manifest: Manifest, differences: DifferenceList, *, with_keys: bool) -> int:
    if differences.count:
        print(f"The backup is not whole, in {differences.count:,} places; the first are:")
        for sentence in differences.shown:
            print(f"  {sentence}")
        return 1
    rows = {file.name: file.rows for file in manifest.files}
    print(
        f"The backup of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC is whole: {rows['sessions']:,} "
        f"sessions, {rows['events']:,} events."
    )
    if not with_keys:
        print("Whether its keys open was not tried: PARLEY_MASTER_KEY is not set.")
    return 0
