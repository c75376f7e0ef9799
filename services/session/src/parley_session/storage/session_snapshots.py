"""Snapshots of long sessions, so that loading one does not read all its events (ADR 37).

A snapshot is the folded session: ids, sizes and states, but no content. It is a column of the
session's row, so that the commit that erases the session removes it as well. It is used only if
it was made by the same code, and if the event of its version is the one that it was made from;
otherwise the session is folded from its first event, and a new snapshot replaces it.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from parley_core.storage.postgres_pool import Pool
from parley_session.domain.session import state
from parley_session.domain.session.state import Session
from parley_session.storage.database_errors import DATABASE_ERRORS

EVENTS_PER_SNAPSHOT = 500
"""A load decodes fewer events than this, which takes some 10 ms; a snapshot of 10,000 messages has
700 kB, which takes as long to write."""

# Another fold may make another session of the same events.
_FOLD = hashlib.sha256(Path(state.__file__).read_bytes()).digest()[:8]

log = logging.getLogger(__name__)


def _to_plain(value: Any) -> Any:
    return value.model_dump(mode="json")


def _from_plain(model: Any, value: Any) -> Any:
    return model.model_validate(value)


# The hooks are for the values of events, which are pydantic models.
_encode = msgspec.msgpack.Encoder(uuid_format="bytes", enc_hook=_to_plain).encode
_decode = msgspec.msgpack.Decoder(Session, dec_hook=_from_plain).decode


def encode_snapshot(session: Session) -> bytes:
    return _FOLD + _encode(session)


def decode_snapshot(snapshot: bytes) -> Session | None:
    """None if another version of the fold made it."""
    if not snapshot.startswith(_FOLD):
        return None
    try:
        return _decode(memoryview(snapshot)[len(_FOLD) :])
    except (msgspec.MsgspecError, ValueError):
        return None


class SessionSnapshots:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, session_id: UUID, version: int) -> Session | None:
        """The session at its last snapshot, if it has one of at most this version."""
        if version < EVENTS_PER_SNAPSHOT:
            return None
        row = await self._pool.fetchrow(
            """
            SELECT snapshot, events.id AS event_id, sequence
            FROM sessions JOIN events ON session_id = sessions.id AND sequence = snapshot_version
            WHERE sessions.id = $1 AND snapshot_version <= $2
            """,
            session_id,
            version,
        )
        session = decode_snapshot(row["snapshot"]) if row else None
        if session is None or row is None:
            return None
        made_from = (session.id, session.version, session.last_event_id)
        return session if made_from == (session_id, row["sequence"], row["event_id"]) else None

    async def write_if_due(self, session: Session, since: Session | None) -> None:
        """Store a snapshot if the events after `since` complete another EVENTS_PER_SNAPSHOT.

        A failure is only logged: the session is loaded from more events then.
        """
        before = since.version if since else 0
        if before // EVENTS_PER_SNAPSHOT == session.version // EVENTS_PER_SNAPSHOT:
            return
        try:
            # An erased session has no key. Concurrent loads may write in any order.
            await self._pool.execute(
                """
                UPDATE sessions SET snapshot = $2, snapshot_version = $3
                WHERE id = $1 AND wrapped_key IS NOT NULL AND coalesce(snapshot_version, 0) <= $3
                """,
                session.id,
                encode_snapshot(session),
                session.version,
            )
        except DATABASE_ERRORS as error:
            log.warning("cannot store a snapshot of a session: %s", type(error).__name__)
