"""What may be typed after `parley backup`, `parley verify-backup` and `parley restore`."""

from parley_cli.subparser import Commands, add_command

EPILOGS = {
    "backup": """\
The event store is that of the stack that runs on the data folder (PARLEY_DATA), or the one that
PARLEY_SESSION_DATABASE names. All of it as of one moment, while people chat: sessions, events,
turns, assistants, what the log does not have yet. Keys are in files of their own, wrapped with the
master key, which is in neither folder: keep all three apart, and nobody who finds one reads a word.
A backup is whole once manifest.json is in its folder, which is written last.

Erasing a session does not reach backups: its text is unreadable for ever once the last folder of
keys that has its key is gone. Keep folders of keys no longer than you promise.

examples:
  parley backup --to backups/2026-11-24
  parley backup --to /backups/today --keys /other-disk/today-keys
""",
    "verify-backup": """\
Needs no store: every file is what was written, every session's events follow each other up to its
version, nothing is in one file that another lacks, and, with PARLEY_MASTER_KEY or the data folder's
own master key, every key opens. The exit code is 1 with the first differences when there are any.

examples:
  parley verify-backup --from backups/2026-11-24
""",
    "restore": """\
The backup is verified first; then all of it is restored, or nothing. The store has to be empty and
at the backup's migrations. Without PARLEY_SESSION_DATABASE it is made in the data folder
(PARLEY_DATA, or the server at PARLEY_POSTGRES), on which no stack may run; the backup's master key
has to be in PARLEY_MASTER_KEY, or in secrets/master-key of that folder.

What happened after the backup is taken back from the log, erasures among it: by this command where
the data folder has a log of its own, else by `parley log reconcile`, which has to run before
session serves. Until then a session that was erased since the backup can be read again. What
neither the backup nor the log has is lost; of erasures, too: erase again. Once the stack runs:
`parley log restore` where the log is lost, then `parley rebuild history`.

examples:
  PARLEY_DATA=new PARLEY_MASTER_KEY=... parley restore --from backups/2026-11-24
""",
}


def add_backup(commands: Commands) -> None:
    """`chosen.folder` is the backup's, `chosen.keys` that of its keys or None."""
    _add(commands, "backup", "--to", "write the event store to a new folder, while people chat")
    _add(commands, "verify-backup", "--from", "check that a backup is whole")
    _add(commands, "restore", "--from", "make an event store of a backup")


def _add(commands: Commands, name: str, folder: str, summary: str) -> None:
    added = add_command(commands, name, summary, EPILOGS[name])
    added.add_argument(folder, dest="folder", required=True, metavar="DIR", help="the backup")
    added.add_argument("--keys", metavar="DIR", help="its keys (default: the folder keys in it)")
