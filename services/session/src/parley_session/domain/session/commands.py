"""What may be asked of a session. Text is in clear here; `decide` seals it into the events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from parley_events.values import ForkPoint, Price, Usage
from parley_session.domain.session.state import Role

EraseReason = Literal["requested", "deleted", "expired", "idle", "operator"]


@dataclass(frozen=True, slots=True)
class ImportedMessage:
    """A message that was said elsewhere, or in the session that this one is forked from."""

    id: UUID
    role: Role
    content: str
    original_time: datetime
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class StartSession:
    """Begin a session; `messages` are those that a fork copies, oldest first."""

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
    """A title, or None for none."""

    title: str | None


@dataclass(frozen=True, slots=True)
class ChangeMetadata:
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetArchived:
    archived: bool


@dataclass(frozen=True, slots=True)
class SetLegalHold:
    """An administrator's alone, who may be another person than the owner."""

    held: bool


Change = RenameSession | ChangeMetadata | SetArchived | SetLegalHold


@dataclass(frozen=True, slots=True)
class ChangeSession:
    """Changes that are made together or not at all."""

    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class SuggestTitle:
    """A title by a model, for a session that has none."""

    title: str
    model: str
    usage: Usage | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """Let it be erased at `erase_at`, until which it may be restored; None erases it now."""

    erase_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RestoreSession:
    pass


@dataclass(frozen=True, slots=True)
class EraseSession:
    """Erase in nobody's name but Parley's; `deleted` and `expired` only when that time has come.

    With `idle_since`, only if nothing has happened in the session since then.
    """

    reason: EraseReason
    idle_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What a person said; `tokens` is how many it has, where somebody counted."""

    id: UUID
    content: str
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SubmitMessage:
    """Add a message and open the turn that answers it.

    Without `parent_message_id` it follows the newest message; with it, an edit becomes a sibling.
    One that `begins` follows nothing. Those `preceding` it come between, each after the one before.
    Without a version the assistant is as the session began.
    """

    message_id: UUID
    turn_id: UUID
    reply_id: UUID
    content: str
    model: str
    parent_message_id: UUID | None = None
    begins: bool = False
    tokens: int | None = None
    assistant_version: int | None = None
    preceding: Sequence[UserMessage] = ()


@dataclass(frozen=True, slots=True)
class RegenerateReply:
    """Open a turn that answers a message again; None is what was asked last."""

    message_id: UUID | None
    turn_id: UUID
    reply_id: UUID
    model: str
    assistant_version: int | None = None


@dataclass(frozen=True, slots=True)
class ImportMessages:
    """Add messages after the newest one, each after the one before; those known are left out."""

    messages: Sequence[ImportedMessage]


@dataclass(frozen=True, slots=True)
class CompactContext:
    up_to_message_id: UUID
    summary: str
    model: str
    tokens: int | None = None
    usage: Usage | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class RequestCancel:
    """A turn that is `unclaimed` has nobody who could end it, and ends at once."""

    turn_id: UUID
    unclaimed: bool = False


@dataclass(frozen=True, slots=True)
class CompleteReply:
    """Without a model it was the one that the turn was opened with."""

    turn_id: UUID
    content: str
    finish_reason: Literal["stop", "length", "content_filter"]
    first_token_ms: int
    total_ms: int
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class FailReply:
    """Without a model it was the one that the turn was opened with."""

    turn_id: UUID
    code: str
    details: str | None = None
    partial_content: str | None = None
    usage: Usage | None = None
    price: Price | None = None
    model: str | None = None


TurnCommand = SubmitMessage | RegenerateReply | RequestCancel | CompleteReply | FailReply
LifeCommand = DeleteSession | RestoreSession | EraseSession
Command = (
    StartSession
    | ChangeSession
    | SuggestTitle
    | LifeCommand
    | ImportMessages
    | CompactContext
    | TurnCommand
)
