"""Derives the ids of imported messages that have none, so that a repeated import adds nothing.

An id identifies a message by its fields and by all messages before it in its call. Equal messages
in different parts of an import therefore differ, and the same call always finds its own messages.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET

from parley_contracts.session_api.imports import ImportedMessage
from parley_core.crypto.sealing import DataKey, fingerprint
from parley_session.domain.session.state import Session

_NAMESPACE = UUID("0b0a6ac2-9d6c-4a55-8f3e-7d0b5f7f7a10")


def message_ids(
    given: Mapping[int, ImportedMessage], good: Sequence[int], session: Session, key: DataKey
) -> list[UUID]:
    """The ids of the `good` ones of the messages `given` in one call by index, in order.

    Existing ids are reused for a repeated call, and for one that begins with messages that end at
    the session's newest message and continues them. A call that merely begins like an earlier one
    is another part: it derives ids of its own. Each rejected attempt matches messages that no
    other attempt matches, so the time is linear in the messages of the session and the call.
    """
    # Whether a message is good may depend on the session; its position must not.
    positions = dict(zip(given, _positions(given.values()), strict=True))
    derived = [index for index in good if given[index].id is None]
    before = dict(zip(good[1:], good, strict=False))
    for attempt in count():
        ids = (_derived_id(positions[index], attempt, key) for index in derived)
        existing = [*takewhile(session.messages.__contains__, ids)]
        if len(existing) in (0, len(derived)):
            break
        last_known = given[before[derived[len(existing)]]].id or existing[-1]
        if last_known == session.leaf_message_id:
            break
    return [given[index].id or _derived_id(positions[index], attempt, key) for index in good]


def _positions(given: Iterable[ImportedMessage]) -> Iterator[bytes]:
    """A digest for each message, of it and of all before it."""
    digest = hashlib.sha256()
    for message in given:
        canonical = msgspec.json.encode(_stored_fields(message))
        digest.update(len(canonical).to_bytes(8) + canonical)
        yield digest.digest()


def _stored_fields(message: ImportedMessage) -> Sequence[object]:
    parent_id = "newest" if message.parent_message_id is UNSET else message.parent_message_id
    return (
        *(message.id, parent_id, message.role, message.created_at, message.content),
        *(message.status, message.model, message.finish_reason, message.usage, message.error_code),
    )


def _derived_id(position: bytes, attempt: int, key: DataKey) -> UUID:
    return uuid5(_NAMESPACE, fingerprint(key, position + attempt.to_bytes(4)).hex())
