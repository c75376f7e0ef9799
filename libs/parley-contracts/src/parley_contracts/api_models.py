"""The shapes that clients see and services pass on: message, session, turn, assistant, list."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

TurnStatus = Literal["running", "completed", "failed", "cancelled"]
FinishReason = Literal["stop", "length", "content_filter"]

Item = TypeVar("Item")


def rfc3339(time: datetime) -> str:
    """`2026-11-24T10:00:00.000000Z`: always UTC and microseconds, so that text sorts as time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(rfc3339, when_used="json")]


def _absent(value: Any) -> bool:
    return value is None


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True)

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()


class UsageShape(Shape):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool = False


class ErrorShape(Shape):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Message(Shape):
    """One message of a conversation; `version` is the session's version that brought it.

    It follows its parent; siblings are edits of one message, or several replies to it. Of an
    imported one `created_at` is when it was said.
    """

    object: Literal["message"] = "message"
    id: UUID
    session_id: UUID
    turn_id: UUID | None
    parent_message_id: UUID | None
    role: Literal["user", "assistant", "system"]
    content: str
    status: Literal["completed", "failed", "cancelled"]
    version: int
    created_at: Time
    model: str | None = Field(default=None, exclude_if=_absent)
    finish_reason: FinishReason | None = Field(default=None, exclude_if=_absent)
    usage: UsageShape | None = Field(default=None, exclude_if=_absent)


class ForkPointShape(Shape):
    session_id: UUID
    message_id: UUID


class SessionShape(Shape):
    """`open_turn_id` is the turn that runs now; a session that expires is erased at that time."""

    object: Literal["session"] = "session"
    id: UUID
    assistant_id: str
    title: str | None
    metadata: dict[str, str]
    archived: bool = False
    legal_hold: bool = False
    open_turn_id: UUID | None = None
    version: int
    created_at: Time
    updated_at: Time
    expires_at: Time | None = Field(default=None, exclude_if=_absent)
    forked_from: ForkPointShape | None = Field(default=None, exclude_if=_absent)


class Turn(Shape):
    """A message and the reply to it; `reply` is null while the turn is running.

    `error` tells why a failed turn failed. `version` is the session's after the turn's last event.
    """

    object: Literal["turn"] = "turn"
    id: UUID
    session_id: UUID
    status: TurnStatus
    message: Message
    reply_id: UUID
    reply: Message | None
    error: ErrorShape | None = Field(default=None, exclude_if=_absent)
    version: int


class Assistant(Shape):
    """`instructions` are told to administrators alone; a retired one takes no new session."""

    object: Literal["assistant"] = "assistant"
    id: str
    version: int
    name: str
    description: str
    model: str | None
    default: bool
    retired: bool = False
    instructions: str | None = Field(default=None, exclude_if=_absent)


class Page(Shape, Generic[Item]):
    """A list answer; `version` is the projected one where the list is read from a projection."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: Any = None
    last_id: Any = None
    has_more: bool = False
    version: int | None = Field(default=None, exclude_if=_absent)
