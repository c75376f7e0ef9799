"""Arguments of `parley backup`, `parley verify-backup` and `parley restore`."""

from parley_cli.subparser import Subparsers, add_command

EPILOGS = {
    "backup": """\
Writes a consistent snapshot of the event store while the stack serves: sessions, events, turns,
assistants and the outbox. The event store is that of the stack that runs on the data folder
(PARLEY_DATA), or the one at PARLEY_SESSION_DATABASE_URL.

Data keys are written to a separate folder, wrapped with the master key, which is in neither folder.
Store the data, the keys and the master key apart: none of them is readable alone. manifest.json is
written last; a backup without it is incomplete.

Erasing a session does not change existing backups. Its content becomes unreadable once the last
keys folder that contains its key is deleted, so do not retain keys folders longer than your
erasure policy allows.

examples:
  parley backup --to backups/2026-11-24
  parley backup --to /backups/today --keys /other-disk/today-keys
""",
    "verify-backup": """\
Checks a backup without a database: that every file has its recorded checksum, that the events of
every session are contiguous up to its version, that the files agree with each other, and that
every key can be unwrapped with PARLEY_MASTER_KEY or the master key in the data folder. If anything
differs, prints the first differences and exits with code 1.

examples:
  parley verify-backup --from backups/2026-11-24
""",
    "restore": """\
Verifies the backup, then restores all of it or nothing. The target must be empty and have the
migrations of the backup. Without PARLEY_SESSION_DATABASE_URL, the event store is created in the
data folder (PARLEY_DATA, or the server at PARLEY_POSTGRES); no stack may run on that folder, and
the master key of the backup must be in PARLEY_MASTER_KEY or in secrets/master-key of the folder.

Events after the backup, erasures included, are imported from the log: by this command if the data
folder contains a log, otherwise by `parley log reconcile`, which must run before the session
service serves. Until then, sessions erased since the backup are readable again. Events that neither
the backup nor the log contains are lost; repeat erasures among them. Once the stack runs, restore a
lost log with `parley log restore`, then run `parley rebuild history`.

examples:
  PARLEY_DATA=new PARLEY_MASTER_KEY=... parley restore --from backups/2026-11-24
""",
}


def add_backup(subparsers: Subparsers) -> None:
    """`folder` in the result is the backup, `keys` the folder of its keys or None."""
    _add(subparsers, "backup", "--to", "back up the event store while the stack serves")
    _add(subparsers, "verify-backup", "--from", "check that a backup is complete and intact")
    _add(subparsers, "restore", "--from", "restore an event store from a backup")


def _add(subparsers: Subparsers, name: str, folder_option: str, summary: str) -> None:
    command = add_command(subparsers, name, summary, EPILOGS[name])
    command.add_argument(
        folder_option, dest="folder", required=True, metavar="DIR", help="folder of the backup"
    )
    command.add_argument(
        "--keys", metavar="DIR", help="folder of its keys (default: `keys` inside the backup)"
    )
