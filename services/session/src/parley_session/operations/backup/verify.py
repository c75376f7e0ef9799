"""`verify-backup`: checks that the files are unchanged and form a complete event store."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from uuid import UUID

from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import MasterKeys
from parley_events.api_key import TokensRevoked
from parley_events.cloudevents import decode_data
from parley_events.session import Event
from parley_session.domain.session.state import BrokenStream, Session, evolve
from parley_session.operations.backup.archive import BackupArchive
from parley_session.operations.backup.copy_format import Row, RowsByStream
from parley_session.operations.backup.key_check import KeyCheck
from parley_session.operations.difference_list import DifferenceList
from parley_session.operations.progress import Progress
from parley_session.storage.keys.installation_key import WRAPPING_ID
from parley_session.storage.keys.search_keys import wrapping_id

KEYS = "session_keys"
_CHUNK_BYTES = 1024 * 1024


class _Unreadable(Exception):
    """Events that cannot be folded; the message completes "Session <id> …"."""


def verify_backup(archive: BackupArchive, master_keys: MasterKeys | None) -> int:
    """Print the result; return the exit code, 1 if anything differs.

    Memory: one session. Raises BackupError, InvalidSettings, KeyServiceUnavailable.
    """
    return BackupCheck(archive, master_keys).run()


class BackupCheck:
    """Reads the files with the rows of a stream in step, in the order of the stream ids."""

    def __init__(self, archive: BackupArchive, master_keys: MasterKeys | None) -> None:
        self._archive, self._key_check = archive, KeyCheck(master_keys) if master_keys else None
        self._manifest = archive.manifest()
        self._differences = DifferenceList()

    def run(self) -> int:
        self._check_files()
        # Rows of changed files would only add follow-up errors.
        if not self._differences.count:
            try:
                with self._key_check or nullcontext():
                    self._check_sessions()
                    self._check_search_keys()
                    self._check_installation_key()
                self._check_streams(
                    "Assistant", "assistants", ("assistant_events", "assistant_outbox")
                )
                self._check_streams(
                    "API key",
                    "api_keys",
                    ("api_key_events", "api_key_outbox"),
                    without=self._streams_of(TokensRevoked.TYPE, "api_key_events"),
                )
            except ValueError:
                # The message may quote a row.
                self._differences.add("A file has malformed rows.")
        return self._report()

    def _check_files(self) -> None:
        for file in self._manifest.files:
            path = self._archive.path(file.name, file.folder)
            digest, size = hashlib.sha256(), 0
            try:
                with self._archive.open(file.name, file.folder) as opened:
                    while chunk := opened.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        size += len(chunk)
            except OSError as error:
                self._differences.add(f"{path} cannot be read: {error.strerror}.")
                continue
            if digest.hexdigest() != file.sha256:
                self._differences.add(
                    f"{path} was changed: it has {size:,} bytes, {file.bytes:,} were written."
                )

    def _check_sessions(self) -> None:
        """Events fold to the session's row; its key and the events of its other rows exist."""
        names = [file.name for file in self._manifest.files if "session_id" in file.columns]
        related = {name: self._rows_by(name, "session_id") for name in names}
        related[KEYS] = self._rows_by(KEYS, "id")
        progress = Progress("Checked sessions:", self._manifest.file("sessions").rows)
        for row in self._rows("sessions"):
            self._add_orphans("Session", "sessions", related, row["id"])
            for problem in self._session_problems(row, related):
                self._differences.add(f"Session {row['id']} {problem}.")
            progress.add(1)
        self._add_orphans("Session", "sessions", related, None)

    def _session_problems(self, row: Row, related: Mapping[str, RowsByStream]) -> Iterator[str]:
        session_id = row["id"] or ""
        # All rows of a session are read even after a problem, so that the files stay in step.
        keys = [key["wrapped_key"] for key in related[KEYS].of(session_id)]
        last_sequences = {
            name: _last_sequence(rows.of(session_id))
            for name, rows in related.items()
            if name not in ("events", KEYS)
        }
        try:
            session = _folded(related["events"].of(session_id))
        except _Unreadable as unreadable:
            yield str(unreadable)
            return
        if problem := self._session_key_problem(session, keys):
            yield problem
        elif keys[0] is not None:
            self._check_key(keys[0], UUID(session_id), f"Session {session_id}")
        version = session.version if session else 0
        if str(version) != row["version"]:
            yield f"is at version {row['version']}, its events end at {version}"
            return
        if session and (session.tenant, session.owner) != (row["tenant"], row["owner"]):
            yield "has another owner according to its events"
        for name in (name for name, last in last_sequences.items() if last > version):
            yield f"has a row in {name} for a missing event"

    def _session_key_problem(
        self, session: Session | None, keys: Sequence[str | None]
    ) -> str | None:
        if len(keys) != 1:
            return "is not in session_keys"
        if session and session.erased and keys[0] is not None:
            return "is erased, but has a key"
        return None

    def _check_search_keys(self) -> None:
        for number, row in enumerate(self._rows("search_keys"), start=1):
            wrapped_for = wrapping_id(Principal(row["tenant"] or "", row["owner"] or ""))
            self._check_key(row["wrapped_key"], wrapped_for, f"Row {number} of search_keys")

    def _check_installation_key(self) -> None:
        for row in self._rows("installation_key"):
            self._check_key(row["wrapped_key"], WRAPPING_ID, "The installation key")

    def _streams_of(self, event_type: str, name: str) -> Collection[str | None]:
        """The streams with an event of the type, which have no row of their own."""
        return {row["stream_id"] for row in self._rows(name) if row["type"] == event_type}

    def _check_streams(
        self,
        kind: str,
        table: str,
        names: tuple[str, str],
        *,
        without: Collection[str | None] = (),
    ) -> None:
        """Every stream of the table has all its events, and every event has a stream, but for the
        events of the streams `without` a row.
        """
        related = {
            name: RowsByStream(
                (row for row in self._rows(name) if row["stream_id"] not in without), "stream_id"
            )
            for name in names
        }
        for row in self._rows(table):
            stream_id = row["stream_id"] or ""
            self._add_orphans(kind, table, related, stream_id)
            events, queued = (
                [int(each["sequence"] or "") for each in related[name].of(stream_id)]
                for name in names
            )
            expected = list(range(1, int(row["sequence"] or "") + 1))
            if events != expected or not {*queued} <= {*expected}:
                self._differences.add(f"{kind} {stream_id} has missing or unexpected events.")
        self._add_orphans(kind, table, related, None)

    def _add_orphans(
        self, kind: str, table: str, related: Mapping[str, RowsByStream], before: str | None
    ) -> None:
        for name, rows in related.items():
            for orphan in rows.before(before):
                self._differences.add(f"{kind} {orphan} is in {name}, but not in {table}.")

    def _check_key(self, wrapped: str | None, wrapped_for: UUID, name: str) -> None:
        if self._key_check is not None:
            self._key_check.add(
                wrapped, wrapped_for, lambda problem: self._differences.add(f"{name} {problem}.")
            )

    def _rows(self, name: str) -> Iterator[Row]:
        return self._archive.rows(self._manifest, name)

    def _rows_by(self, name: str, column: str) -> RowsByStream:
        return RowsByStream(self._rows(name), column)

    def _report(self) -> int:
        if self._differences.count:
            self._differences.print_under(
                f"The backup is invalid: {self._differences.count:,} differences"
            )
            return 1
        rows = {file.name: file.rows for file in self._manifest.files}
        backup = f"backup of {self._manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
        counts = f"{rows['sessions']:,} sessions, {rows['events']:,} events"
        if self._key_check is not None:
            print(f"The {backup} is complete, and the master key opens its keys: {counts}.")
        else:
            print(
                f"The files of the {backup} are unchanged: {counts}. Whether its content can be "
                "read was not checked, because PARLEY_MASTER_KEY is not set."
            )
        return 0


def _folded(rows: Iterable[Row]) -> Session | None:
    """The session that the events give. Reads all rows; raises _Unreadable."""
    session: Session | None = None
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
