"""The events of the `session` stream: what happened in a conversation, typed and versioned.

A class here is one published version of one event. Changes are additive; a breaking change is a new
class with the next version number. Fields of type `Sealed` hold ciphertext (see `sealing`), so an
event may be logged, copied and replayed by anyone without showing what a person wrote.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import AwareDatetime

from parley_events.values import Actor, Count, ForkPoint, Price, Usage, Value

Sealed = bytes
"""Ciphertext; URL-safe base64 in JSON."""


class SessionEventData(Value):
    """What every event of a session carries beside its own facts."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: str


class SessionStarted(SessionEventData):
    """A person began a conversation with an assistant; always the first event of a session.

    A temporary one is erased at `expires_at`. One that was forked begins with the messages that
    it copied, as imported ones in the same append.
    """

    TYPE = "parley.session.session_started.v1"

    owner: str
    tenant: str
    assistant_id: str
    assistant_version: int
    title: Sealed | None = None
    metadata: Sealed | None = None
    expires_at: AwareDatetime | None = None
    forked_from: ForkPoint | None = None


class MessageSubmitted(SessionEventData):
    """A person sent a message; an edit is another message with the same parent.

    `tokens` is how many the content has, where it was counted.
    """

    TYPE = "parley.session.message_submitted.v1"

    message_id: UUID
    parent_message_id: UUID | None = None
    content: Sealed
    tokens: Count | None = None


class MessageImported(SessionEventData):
    """A message that was said elsewhere was brought along; it follows its parent."""

    TYPE = "parley.session.message_imported.v1"

    message_id: UUID
    parent_message_id: UUID | None = None
    role: Literal["user", "assistant", "system"]
    content: Sealed
    original_time: AwareDatetime
    tokens: Count | None = None


class ReplyRequested(SessionEventData):
    """A turn was opened: a model is to reply to a message.

    In the same append as that message; a regenerated reply is requested alone.
    """

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


class ContextCompacted(SessionEventData):
    """A summary stands for all up to a message from now on, in what the model is shown."""

    TYPE = "parley.session.context_compacted.v1"

    up_to_message_id: UUID
    summary: Sealed
    model: str
    tokens: Count | None = None
    usage: Usage | None = None
    price: Price | None = None


class SessionRenamed(SessionEventData):
    """The title changed: by its owner, or suggested by a model where there was none."""

    TYPE = "parley.session.session_renamed.v1"

    title: Sealed | None = None
    suggested: bool = False
    model: str | None = None
    usage: Usage | None = None
    price: Price | None = None


class SessionMetadataChanged(SessionEventData):
    """The metadata is another one now, as a whole."""

    TYPE = "parley.session.session_metadata_changed.v1"

    metadata: Sealed


class SessionArchived(SessionEventData):
    """The owner put the session away."""

    TYPE = "parley.session.session_archived.v1"


class SessionUnarchived(SessionEventData):
    """The owner took the session out again."""

    TYPE = "parley.session.session_unarchived.v1"


class SessionDeleted(SessionEventData):
    """The owner deleted the session: until `erase_at` it can be restored, then it is erased."""

    TYPE = "parley.session.session_deleted.v1"

    erase_at: AwareDatetime


class SessionRestored(SessionEventData):
    """The owner took back that the session was deleted."""

    TYPE = "parley.session.session_restored.v1"


class LegalHoldPlaced(SessionEventData):
    """Nothing may erase the session until the hold is lifted."""

    TYPE = "parley.session.legal_hold_placed.v1"


class LegalHoldLifted(SessionEventData):
    """The session may be erased again."""

    TYPE = "parley.session.legal_hold_lifted.v1"


class SessionErased(SessionEventData):
    """The session's key was destroyed in the same commit: nothing that was said can be read again.

    Always the last event of a session.
    """

    TYPE = "parley.session.session_erased.v1"

    reason: Literal["requested", "deleted", "expired", "idle", "operator"]


class CompletionServed(SessionEventData):
    """A person had a model answer without a conversation: what it cost is all that is kept.

    The only event of a stream of its own, which has no key and can be neither read nor listed.
    One that was `cut` off was left by its client.
    """

    TYPE = "parley.session.completion_served.v1"

    owner: str
    tenant: str
    model: str
    status: Literal["completed", "failed", "cut"]
    usage: Usage
    price: Price | None = None


class UnknownEvent(Value):
    """An event of a type that this version does not know: kept, not understood."""

    type: str
    data: dict[str, Any]


KnownEventData = (
    SessionStarted
    | MessageSubmitted
    | MessageImported
    | ReplyRequested
    | ReplyCompleted
    | ReplyFailed
    | CancelRequested
    | ReplyCancelled
    | ContextCompacted
    | SessionRenamed
    | SessionMetadataChanged
    | SessionArchived
    | SessionUnarchived
    | SessionDeleted
    | SessionRestored
    | LegalHoldPlaced
    | LegalHoldLifted
    | SessionErased
    | CompletionServed
)

DATA_BY_TYPE: dict[str, type[KnownEventData]] = {
    data.TYPE: data for data in get_args(KnownEventData)
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
