"""The rows of the read model, column by column; what is sealed stays sealed."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class SessionRow(Struct, frozen=True, gc=False):
    """A session at `version`, which is the sequence of its last event.

    The ids of the events that brought title and metadata are what these are unsealed with.
    `leaf_message_id` is the newest message; `linear`: each message follows the one before it.
    Of an erased session nothing that was said is left. A completion that was served without a
    conversation is such a row from the start, with no assistant.
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
    """A message, brought by the event at `version` and `created_at`.

    `content` was sealed as that event's field `content`, or `partial_content` where the reply did
    not complete. `original_time` is when an imported one was said.
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
    price_currency: str | None = None
    price_prompt: int | None = None
    price_completion: int | None = None
    error_code: str | None = None
    error_details: bytes | None = None


class TurnOfMessage(Struct, frozen=True, gc=False):
    """The first turn that a message opened: known one event after the message."""

    session_id: UUID
    message_id: UUID
    turn_id: UUID
