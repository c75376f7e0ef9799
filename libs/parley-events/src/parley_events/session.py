"""Event types of the `session` stream, one class per published version.

Changes are additive; a breaking change is a new class with the next version number. Fields of type
`Sealed` hold ciphertext, so events can be copied and replayed without disclosing user content.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

from parley_events.values import Actor, Count, ForkPoint, Instant, Name, Price, Usage, Value

Sealed = bytes
"""Ciphertext; URL-safe base64 in JSON."""

FinishReason = Literal["stop", "length", "content_filter", "refusal"]


class SessionEventData(Value):
    """Fields common to all session events."""

    TYPE: ClassVar[str]

    actor: Actor
    request_id: Name


class SessionStarted(SessionEventData):
    """A user started a session with an assistant. Always the first event of a session.

    A temporary session is erased at `expires_at`. A fork (`forked_from`) starts with copies of the
    original's messages, as `message_imported` events in the same append.
    """

    TYPE = "parley.session.session_started.v1"

    owner: Name
    tenant: Name
    assistant_id: Name
    assistant_version: Count
    title: Sealed | None = None
    metadata: Sealed | None = None
    expires_at: Instant | None = None
    forked_from: ForkPoint | None = None


class MessageSubmitted(SessionEventData):
    """A user submitted a message. An edit is a new message with the same parent.

    `tokens` is the token count of the content, if it was counted.
    """

    TYPE = "parley.session.message_submitted.v1"

    message_id: UUID
    parent_message_id: UUID | None = None
    content: Sealed
    tokens: Count | None = None


class MessageImported(SessionEventData):
    """A message from another system, an export or a forked session was imported below its parent.

    `status`, if the message did not complete, and the fields after it are those of a reply that was
    produced elsewhere: its usage is not charged to this session. The content of a reply without
    text is an empty text of 0 `tokens`.
    """

    TYPE = "parley.session.message_imported.v1"

    message_id: UUID
    parent_message_id: UUID | None = None
    role: Literal["user", "assistant", "system"]
    content: Sealed
    original_time: Instant
    tokens: Count | None = None
    status: Literal["failed", "cancelled"] | None = None
    model: Name | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error_code: Name | None = None


class ReplyRequested(SessionEventData):
    """A turn was opened: a model is to reply to a message.

    Appended together with that message, or alone when the reply is regenerated. `parameters` are
    those given for this turn, such as the temperature, if any.
    """

    TYPE = "parley.session.reply_requested.v1"

    turn_id: UUID
    reply_id: UUID
    parent_message_id: UUID
    assistant_version: Count
    model: Name
    parameters: Sealed | None = None


class ReplyEnded(SessionEventData):
    """Fields common to the three events that end a turn."""

    turn_id: UUID
    reply_id: UUID
    model: Name
    usage: Usage | None = None
    price: Price | None = None


class ReplyCompleted(ReplyEnded):
    """The turn ended with a complete reply."""

    TYPE = "parley.session.reply_completed.v1"

    content: Sealed
    finish_reason: FinishReason
    first_token_ms: Count
    total_ms: Count


class ReplyFailed(ReplyEnded):
    """The turn ended without a complete reply; the partial content is preserved."""

    TYPE = "parley.session.reply_failed.v1"

    code: Name
    details: Sealed | None = None
    partial_content: Sealed | None = None


class CancelRequested(SessionEventData):
    """Cancellation of a running turn was requested."""

    TYPE = "parley.session.cancel_requested.v1"

    turn_id: UUID


class ReplyCancelled(ReplyEnded):
    """The turn ended because it was cancelled; the partial content is preserved."""

    TYPE = "parley.session.reply_cancelled.v1"

    cancelled_by: Actor
    partial_content: Sealed | None = None


class ContextCompacted(SessionEventData):
    """From now on a summary replaces all messages up to this one in the prompt."""

    TYPE = "parley.session.context_compacted.v1"

    up_to_message_id: UUID
    summary: Sealed
    model: Name
    tokens: Count | None = None
    usage: Usage | None = None
    price: Price | None = None


class SessionRenamed(SessionEventData):
    """The title changed: set by the owner, or suggested by a model for an untitled session."""

    TYPE = "parley.session.session_renamed.v1"

    title: Sealed | None = None
    suggested: bool = False
    model: Name | None = None
    usage: Usage | None = None
    price: Price | None = None


class SessionMetadataChanged(SessionEventData):
    """The metadata was replaced as a whole."""

    TYPE = "parley.session.session_metadata_changed.v1"

    metadata: Sealed


class SessionArchived(SessionEventData):
    """The owner archived the session."""

    TYPE = "parley.session.session_archived.v1"


class SessionUnarchived(SessionEventData):
    """The owner unarchived the session."""

    TYPE = "parley.session.session_unarchived.v1"


class SessionDeleted(SessionEventData):
    """The owner deleted the session. It can be restored until `erase_at` and is then erased."""

    TYPE = "parley.session.session_deleted.v1"

    erase_at: Instant


class SessionRestored(SessionEventData):
    """The owner restored a deleted session."""

    TYPE = "parley.session.session_restored.v1"


class LegalHoldPlaced(SessionEventData):
    """A legal hold was placed: the session must not be erased until it is lifted."""

    TYPE = "parley.session.legal_hold_placed.v1"


class LegalHoldLifted(SessionEventData):
    """The legal hold was lifted: the session may be erased again."""

    TYPE = "parley.session.legal_hold_lifted.v1"


class SessionErased(SessionEventData):
    """The session's key was destroyed in the same commit; its content can never be read again.

    Always the last event of a session.
    """

    TYPE = "parley.session.session_erased.v1"

    reason: Literal["requested", "deleted", "expired", "idle", "operator"]


class CompletionServed(SessionEventData):
    """A stateless completion was served; only its usage and cost are recorded.

    The only event of its own stream, which has no key and is never listed as a session. The status
    `cut` means that the client disconnected.
    """

    TYPE = "parley.session.completion_served.v1"

    owner: Name
    tenant: Name
    model: Name
    status: Literal["completed", "failed", "cut"]
    usage: Usage
    price: Price | None = None


class UnknownEvent(Value):
    """An event of a type unknown to this version; its data is preserved as it is."""

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
    """One event at its position in a session.

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
