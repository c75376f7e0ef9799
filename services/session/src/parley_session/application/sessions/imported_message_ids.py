"""Derives the ids of imported messages that have none, so that a repeated import adds nothing.

An id identifies a message by its content and by all messages before it in its call. Equal messages
in different parts of an import therefore differ, and the same call always finds its own messages.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, takewhile
from uuid import UUID, uuid5

import msgspec

from parley_core.crypto.sealing import DataKey, fingerprint
from parley_session.domain.session.state import Role, Session

_NAMESPACE = UUID("0b0a6ac2-9d6c-4a55-8f3e-7d0b5f7f7a10")


@dataclass(frozen=True, slots=True)
class MessageToImport:
    """A message as given; without an id it is derived from the call."""

    role: Role
    content: str
    id: UUID | None = None
    created_at: datetime | None = None


def message_ids(given: Sequence[MessageToImport], session: Session, key: DataKey) -> list[UUID]:
    """The ids of the messages of one call, in order.

    Existing ids are reused for a repeated call, and for one that begins with messages that end at
    the session's newest message and continues them. A call that merely begins like an earlier one
    is another part: it derives ids of its own. Each rejected attempt matches messages that no
    other attempt matches, so the time is linear in the messages of the session and the call.
    """
    positions = [*_positions(given)]
    derived = [number for number, message in enumerate(given) if message.id is None]
    for attempt in count():
        ids = (_derived_id(positions[number], attempt, key) for number in derived)
        existing = [*takewhile(session.messages.__contains__, ids)]
        if len(existing) in (0, len(derived)):
            break
        # The message before the first new one.
        last_known = given[derived[len(existing)] - 1].id or existing[-1]
        if last_known == session.leaf_message_id:
            break
    return [
        message.id or _derived_id(place, attempt, key)
        for place, message in zip(positions, given, strict=True)
    ]


def _positions(given: Sequence[MessageToImport]) -> Iterator[bytes]:
    """A digest for each message, of it and of all before it."""
    digest = hashlib.sha256()
    for message in given:
        canonical = msgspec.json.encode(
            [message.id, message.role, message.created_at, message.content]
        )
        digest.update(len(canonical).to_bytes(8) + canonical)
        yield digest.digest()


def _derived_id(position: bytes, attempt: int, key: DataKey) -> UUID:
    return uuid5(_NAMESPACE, fingerprint(key, position + attempt.to_bytes(4)).hex())
