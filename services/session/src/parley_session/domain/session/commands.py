"""Commands on a session. Their text is plaintext; `decide` seals it into the events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from parley_events.session import FinishReason
from parley_events.values import ForkPoint, Price, Usage
from parley_session.domain.session.state import Role, TurnStatus

EraseReason = Literal["requested", "deleted", "expired", "idle", "operator"]


@dataclass(frozen=True, slots=True)
class ImportedMessage:
    """A message from elsewhere, or from the session that this one is forked from.

    It follows `parent_message_id`, nothing if `as_root`, or else the newest message. `status` and
    the fields after it are those of a reply.
    """

    id: UUID
    role: Role
    content: str
    original_time: datetime
    tokens: int | None = None
    parent_message_id: UUID | None = None
    as_root: bool = False
    status: TurnStatus = "completed"
    model: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class StartSession:
    """Start a session; `messages` are those that a fork copies, oldest first."""

    session_id: UUID
    assistant_id: str
    assistant_version: int
    title: str | None = None
    metadata: Mapping[str, str] | None = None
    expires_at: datetime | None = None
    forked_from: ForkPoint | None = None
    messages: Sequence[ImportedMessage] = ()


@dataclass(frozen=True, slots=True)
class RenameSession:
    """None removes the title."""

    title: str | None


@dataclass(frozen=True, slots=True)
class ChangeMetadata:
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetArchived:
    archived: bool


@dataclass(frozen=True, slots=True)
class SetLegalHold:
    """Place or lift a legal hold; only for administrators, who need not own the session."""

    placed: bool


Change = RenameSession | ChangeMetadata | SetArchived | SetLegalHold


@dataclass(frozen=True, slots=True)
class ChangeSession:
    """Changes that are applied atomically."""

    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class SuggestTitle:
    """Set a title suggested by a model, if the session has none."""

    title: str
    model: str
    usage: Usage | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """Delete the session; until `erase_at` it can be restored. None erases it now."""

    erase_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RestoreSession:
    pass


@dataclass(frozen=True, slots=True)
class EraseSession:
    """Erase the session on Parley's own behalf.

    The reasons `deleted` and `expired` apply only once that time has passed. With
    `unchanged_since`, nothing happens if the session has a later event.
    """

    reason: EraseReason
    unchanged_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserMessage:
    """A user's message; `tokens` is its size, if counted."""

    id: UUID
    content: str
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SubmitMessage:
    """Add a message and open its turn.

    The message follows `parent_message_id` (an edit is a sibling), nothing if `as_root`, or else
    the newest message. `preceding` are added before it, as a chain. Without `assistant_version`
    the turn uses the version that the session was started with. `parameters` are for the model
    call of this turn only.
    """

    message_id: UUID
    turn_id: UUID
    reply_id: UUID
    content: str
    model: str
    parent_message_id: UUID | None = None
    as_root: bool = False
    tokens: int | None = None
    assistant_version: int | None = None
    preceding: Sequence[UserMessage] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegenerateReply:
    """Open another turn for a user's message; None means the newest one of the branch."""

    message_id: UUID | None
    turn_id: UUID
    reply_id: UUID
    model: str
    assistant_version: int | None = None


@dataclass(frozen=True, slots=True)
class ImportMessages:
    """Add messages in order, skipping those already present."""

    messages: Sequence[ImportedMessage]


@dataclass(frozen=True, slots=True)
class CompactContext:
    """Store a summary of the branch up to a message; `tokens` is its size, if counted."""

    up_to_message_id: UUID
    summary: str
    model: str
    tokens: int | None = None
    usage: Usage | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class RequestCancel:
    """Cancel a turn; an `unclaimed` one has no runner that could end it, and ends at once."""

    turn_id: UUID
    unclaimed: bool = False


@dataclass(frozen=True, slots=True)
class CompleteReply:
    """End the turn with a reply; `model` is the one that replied, if not the requested one."""

    turn_id: UUID
    content: str
    finish_reason: FinishReason
    first_token_ms: int
    total_ms: int
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class FailReply:
    """End the turn with an error; `model` is the one that replied, if not the requested one."""

    turn_id: UUID
    code: str
    details: str | None = None
    partial_content: str | None = None
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None


TurnCommand = SubmitMessage | RegenerateReply | RequestCancel | CompleteReply | FailReply
LifecycleCommand = DeleteSession | RestoreSession | EraseSession
Command = (
    StartSession
    | ChangeSession
    | SuggestTitle
    | LifecycleCommand
    | ImportMessages
    | CompactContext
    | TurnCommand
)
