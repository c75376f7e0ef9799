"""The events of the `session` stream: what happened in a conversation, typed and versioned.

A class here is one published version of one event. Changes are additive; a breaking change is a new
class with the next version number. Fields of type `Sealed` hold ciphertext (see `sealing`), so an
event may be logged, copied and replayed by anyone without showing what a person wrote.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Sealed = bytes
"""Ciphertext; URL-safe base64 in JSON."""

Count = Annotated[int, Field(ge=0)]


class Value(BaseModel):
    # Unknown fields are kept: a consumer that re-encodes an event of a later minor change must not
    # lose what it does not understand.
    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Actor(Value):
    """Who caused an event: a person in a tenant, or Parley itself (`system`)."""

    tenant: str
    user: str
    system: bool = False


class Usage(Value):
    """Tokens that the model server counted, or that Parley estimated for a stream cut short."""

    prompt_tokens: Count
    completion_tokens: Count
    estimated: bool = False


class Price(Value):
    """The price applied to a reply, in micro-units of `currency` per million tokens."""

    currency: str
    prompt: Count
    completion: Count


class SessionEventData(Value):
    """What every event of a session carries beside its own facts."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: str


class SessionStarted(SessionEventData):
    """A person began a conversation with an assistant; always the first event of a session."""

    TYPE = "parley.session.session_started.v1"

    owner: str
    tenant: str
    assistant_id: str
    assistant_version: int
    title: Sealed | None = None
    metadata: Sealed | None = None


class MessageSubmitted(SessionEventData):
    """A person sent a message; an edit is another message with the same parent."""

    TYPE = "parley.session.message_submitted.v1"

    message_id: UUID
    parent_message_id: UUID | None = None
    content: Sealed


class ReplyRequested(SessionEventData):
    """A turn was opened: a model is to reply to a message. In the same append as that message."""

    TYPE = "parley.session.reply_requested.v1"

    turn_id: UUID
    reply_id: UUID
    parent_message_id: UUID
    assistant_version: int
    model: str


class ReplyEnded(SessionEventData):
    """What the three ends of a turn share."""

    turn_id: UUID
    reply_id: UUID
    model: str
    usage: Usage | None = None
    price: Price | None = None


class ReplyCompleted(ReplyEnded):
    """The turn ended with a whole reply."""

    TYPE = "parley.session.reply_completed.v1"

    content: Sealed
    finish_reason: Literal["stop", "length", "content_filter"]
    first_token_ms: Count
    total_ms: Count


class ReplyFailed(ReplyEnded):
    """The turn ended without a whole reply; what there was of it is kept."""

    TYPE = "parley.session.reply_failed.v1"

    code: str
    details: Sealed | None = None
    partial_content: Sealed | None = None


class CancelRequested(SessionEventData):
    """Somebody asked that the reply be stopped."""

    TYPE = "parley.session.cancel_requested.v1"

    turn_id: UUID


class ReplyCancelled(ReplyEnded):
    """The turn ended because somebody stopped it; what there was of the reply is kept."""

    TYPE = "parley.session.reply_cancelled.v1"

    cancelled_by: Actor
    partial_content: Sealed | None = None


class UnknownEvent(Value):
    """An event of a type that this version does not know: kept, not understood."""

    type: str
    data: dict[str, Any]


KnownEventData = (
    SessionStarted
    | MessageSubmitted
    | ReplyRequested
    | ReplyCompleted
    | ReplyFailed
    | CancelRequested
    | ReplyCancelled
)

DATA_BY_TYPE: dict[str, type[KnownEventData]] = {
    data.TYPE: data
    for data in (
        SessionStarted,
        MessageSubmitted,
        ReplyRequested,
        ReplyCompleted,
        ReplyFailed,
        CancelRequested,
        ReplyCancelled,
    )
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event at its place in a session.

    `sequence` counts from 1 without a gap; `id` is a UUIDv7 and `time` is in UTC, and both increase
    along the session.
    """

    id: UUID
    session_id: UUID
    sequence: int
    time: datetime
    data: KnownEventData | UnknownEvent
    traceparent: str | None = None

    @property
    def type(self) -> str:
        return self.data.type if isinstance(self.data, UnknownEvent) else self.data.TYPE
