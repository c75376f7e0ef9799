"""What `POST /keys` of session is asked and answers: the data keys of sessions."""

import base64
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from parley_core.crypto.sealing import DataKey

MOST_SESSIONS = 100


class InvalidKeysResponse(ValueError):
    """These bytes are no answer to the question; the message repeats nothing of them."""


class _Answer(msgspec.Struct):
    keys: dict[UUID, str | None]


def keys_question(session_ids: Sequence[UUID]) -> bytes:
    """The body that asks for the keys of at most 100 sessions."""
    return msgspec.json.encode({"session_ids": session_ids})


def keys_answered(body: bytes) -> Mapping[UUID, DataKey | None]:
    """The keys of the sessions that exist; None where one was erased. Raises
    InvalidKeysResponse."""
    try:
        keys = msgspec.json.decode(body, type=_Answer).keys
        return {session_id: _key(encoded) for session_id, encoded in keys.items()}
    except ValueError:
        raise InvalidKeysResponse("The keys cannot be read.") from None


def _key(encoded: str | None) -> DataKey | None:
    return None if encoded is None else DataKey(base64.b64decode(encoded, validate=True))
