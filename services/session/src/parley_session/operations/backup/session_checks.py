"""Verifies the sessions of a backup: events fold to the session's row, key and rows exist."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from parley_core.crypto.master_keys import MasterKeys, UnknownMasterKey
from parley_core.crypto.sealing import UnsealError
from parley_events.cloudevents import decode_data
from parley_events.session import Event
from parley_session.domain.session.state import BrokenStream, Session, evolve
from parley_session.operations.backup.archive import BackupArchive, Manifest
from parley_session.operations.backup.copy_format import Row, RowsByStream
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.progress import Progress

KEYS = "session_keys"


class _Unreadable(Exception):
    """Events that cannot be folded; the message completes "Session <id> …"."""


def check_sessions(
    archive: BackupArchive,
    manifest: Manifest,
    master_keys: MasterKeys | None,
    differences: DifferenceList,
) -> None:
    """Reads all files with session ids in step, in the order of the ids."""
    beside = {
        file.name: RowsByStream(archive.rows(manifest, file.name), "session_id")
        for file in manifest.files
        if "session_id" in file.columns
    }
    beside[KEYS] = RowsByStream(archive.rows(manifest, KEYS), "id")
    check = _SessionCheck(beside, master_keys, differences)
    progress = Progress("Checked sessions:", manifest.file("sessions").rows)
    for row in archive.rows(manifest, "sessions"):
        check.orphan_rows_before(row["id"])
        check.check(row)
        progress.add(1)
    check.orphan_rows_before(None)


class _SessionCheck:
    def __init__(
        self,
        beside: Mapping[str, RowsByStream],
        master_keys: MasterKeys | None,
        differences: DifferenceList,
    ) -> None:
        self._beside, self._master_keys, self._differences = beside, master_keys, differences
        self._events, self._keys = beside["events"], beside[KEYS]
        self._others = {name: rows for name, rows in beside.items() if name not in ("events", KEYS)}

    def orphan_rows_before(self, session_id: str | None) -> None:
        for name, rows in self._beside.items():
            for orphan in rows.before(session_id):
                self._differences.add(f"Session {orphan} is in {name}, but not in sessions.")

    def check(self, row: Row) -> None:
        session_id = row["id"] or ""
        # All rows of a session are read even after a problem, so that the files stay in step.
        last_sequences = {
            name: _last_sequence(rows.of(session_id)) for name, rows in self._others.items()
        }
        keys = [key["wrapped_key"] for key in self._keys.of(session_id)]
        try:
            session = self._folded(session_id)
        except _Unreadable as unreadable:
            self._add(session_id, str(unreadable))
            return
        if problem := self._key_problem(session_id, session, keys):
            self._add(session_id, problem)
        version = session.version if session else 0
        if str(version) != row["version"]:
            self._add(session_id, f"is at version {row['version']}, its events end at {version}")
            return
        if session and (session.tenant, session.owner) != (row["tenant"], row["owner"]):
            self._add(session_id, "has another owner according to its events")
        for name in (name for name, last in last_sequences.items() if last > version):
            self._add(session_id, f"has a row in {name} for a missing event")

    def _folded(self, session_id: str) -> Session | None:
        session: Session | None = None
        rows = self._events.of(session_id)
        try:
            for row in rows:
                session = evolve(session, _event(row))
        except (BrokenStream, ValueError, LookupError) as broken:
            for _ in rows:
                pass
            after = session.version if session else 0
            # The class alone: the message may quote content.
            problem = f"cannot be decoded after event {after}: {type(broken).__name__}"
            raise _Unreadable(problem) from None
        return session

    def _key_problem(
        self, session_id: str, session: Session | None, keys: Sequence[str | None]
    ) -> str | None:
        if len(keys) != 1:
            return "is not in session_keys"
        if keys[0] is None:
            return None
        if session and session.erased:
            return "is erased, but has a key"
        return key_problem(self._master_keys, keys[0], UUID(session_id))

    def _add(self, session_id: str, what: str) -> None:
        self._differences.add(f"Session {session_id} {what}.")


def key_problem(master_keys: MasterKeys | None, wrapped: str, wrapped_for: UUID) -> str | None:
    """Why the key cannot be unwrapped; None if it can, or without master keys to try."""
    if master_keys is None:
        return None
    try:
        master_keys.unwrap(bytes.fromhex(wrapped.removeprefix("\\x")), wrapped_for)
    except UnknownMasterKey:
        return "has a key wrapped by another master key"
    except (UnsealError, ValueError):
        return "has a key that cannot be unwrapped"
    return None


def _last_sequence(rows: Iterable[Row]) -> int:
    """The highest event sequence that the rows refer to; 0 if there is none."""
    sequences = (
        int(value)
        for row in rows
        for name, value in row.items()
        if value is not None and (name == "sequence" or name.endswith("_sequence"))
    )
    return max(sequences, default=0)


def _event(row: Row) -> Event:
    data = row["data"] or ""
    return Event(
        id=UUID(row["id"] or ""),
        session_id=UUID(row["session_id"] or ""),
        sequence=int(row["sequence"] or ""),
        time=datetime.fromisoformat(row["time"] or ""),
        data=decode_data(row["type"] or "", data.encode()),
        traceparent=row["traceparent"],
    )
