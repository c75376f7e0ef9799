"""Rows of the read model, one field per column; encrypted values stay encrypted."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class SessionRow(Struct, frozen=True, gc=False):
    """A session at `version`, the sequence of its last applied event.

    `title_event_id` and `metadata_event_id` are needed to unseal title and metadata.
    `leaf_message_id` is the newest message; `linear` means that every message follows the one
    before it. `held` means under legal hold. An erased session keeps no content. A completion
    without a conversation is stored as erased from the start, with an empty assistant id.
    """

    id: UUID
    tenant: str
    owner: str
    assistant_id: str
    assistant_version: int
    version: int
    last_event_id: UUID
    created_at: datetime
    updated_at: datetime
    title: bytes | None
    title_event_id: UUID | None
    metadata: bytes | None
    metadata_event_id: UUID | None
    open_turn_id: UUID | None = None
    open_turn_message_id: UUID | None = None
    leaf_message_id: UUID | None = None
    linear: bool = True
    archived: bool = False
    deleted: bool = False
    held: bool = False
    erased_at: datetime | None = None
    expires_at: datetime | None = None
    forked_from_session_id: UUID | None = None
    forked_from_message_id: UUID | None = None


class MessageRow(Struct, frozen=True, gc=False):
    """A message, added by the event with sequence `version` and time `created_at`.

    `original_time` is the time that an imported message claims; only imported ones have it.
    """

    session_id: UUID
    version: int
    id: UUID
    event_id: UUID
    turn_id: UUID | None
    parent_id: UUID | None
    role: str
    status: str
    created_at: datetime
    content: bytes | None
    original_time: datetime | None = None
    model: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_estimated: bool | None = None
    error_code: str | None = None
    price_currency: str | None = None
    price_prompt: int | None = None
    price_completion: int | None = None
    error_details: bytes | None = None


def sealed_field(status: str, original_time: datetime | None) -> str:
    """Return the field of its event as which the content of a message is sealed.

    The content of a reply that did not complete is partial, that of an imported message never.
    """
    is_partial = status != "completed" and original_time is None
    return "partial_content" if is_partial else "content"


class TurnLink(Struct, frozen=True, gc=False):
    """Links a message to the first turn it opened; known one event after the message."""

    session_id: UUID
    message_id: UUID
    turn_id: UUID
