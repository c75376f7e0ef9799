"""Postgres notifications of changed sessions, sent in the transaction that changes them."""

from collections.abc import Sequence
from uuid import UUID

from parley_history.storage.database import Connection

CHANNEL = "history_changes"
ALL_SESSIONS = ""
"""The payload after a version swap: any session may read differently from now on."""

# Postgres limits a payload to 8,000 bytes; an id takes 33 of them.
_IDS_PER_NOTIFICATION = 100

_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
_LISTEN = f"LISTEN {CHANNEL}"


async def notify_changes(connection: Connection, session_ids: Sequence[UUID]) -> None:
    size = _IDS_PER_NOTIFICATION
    chunks = [session_ids[start : start + size] for start in range(0, len(session_ids), size)]
    payloads = [",".join(session_id.hex for session_id in chunk) for chunk in chunks]
    await connection.execute(_NOTIFY, CHANNEL, payloads)


async def notify_all(connection: Connection) -> None:
    await connection.execute(_NOTIFY, CHANNEL, [ALL_SESSIONS])


def changed_sessions(payload: str) -> list[UUID]:
    """Parse the payload of a notification; an empty list stands for all sessions."""
    if payload == ALL_SESSIONS:
        return []
    try:
        return [UUID(text) for text in payload.split(",")]
    except ValueError:
        return []  # A later release sends another format, so any session may have changed.


async def check_listening(connection: Connection, timeout_seconds: float) -> None:
    """Repeat LISTEN, which has no effect but fails on a dead connection."""
    await connection.execute(_LISTEN, timeout=timeout_seconds)
