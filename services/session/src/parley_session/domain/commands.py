"""What may be asked of a session. Text is in clear here; `decide` seals it into the events."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from parley_core.events import Price, Usage


@dataclass(frozen=True, slots=True)
class StartSession:
    session_id: UUID
    assistant_id: str
    assistant_version: int
    title: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SubmitMessage:
    """Add a message and open the turn that answers it.

    Without `parent_message_id` it follows the newest message; with it, an edit becomes a sibling.
    """

    message_id: UUID
    turn_id: UUID
    reply_id: UUID
    content: str
    model: str
    parent_message_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RequestCancel:
    turn_id: UUID


@dataclass(frozen=True, slots=True)
class CompleteReply:
    turn_id: UUID
    content: str
    finish_reason: Literal["stop", "length", "content_filter"]
    first_token_ms: int
    total_ms: int
    usage: Usage | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class FailReply:
    turn_id: UUID
    code: str
    details: str | None = None
    partial_content: str | None = None
    usage: Usage | None = None
    price: Price | None = None


Command = StartSession | SubmitMessage | RequestCancel | CompleteReply | FailReply
