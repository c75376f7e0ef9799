"""Models of the public API that services pass on: message, session, turn, assistant, list."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from parley_events.api_key import RevocationKind
from parley_events.audit import AuditOutcome

TurnStatus = Literal["running", "completed", "failed", "cancelled"]
FinishReason = Literal["stop", "length", "content_filter", "refusal"]

Item = TypeVar("Item")


def rfc3339(time: datetime) -> str:
    """`2026-11-24T10:00:00.000000Z`: UTC with microseconds, so that text order is time order."""
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
    """One message of a session; `version` is the sequence of its event.

    Siblings with the same parent are edits of one message, or several replies to it. An imported
    message keeps its original `created_at`. `error_code` is the reason of a failed reply.
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
    error_code: str | None = Field(default=None, exclude_if=_absent)


class ForkPointShape(Shape):
    session_id: UUID
    message_id: UUID


class SessionShape(Shape):
    """`open_turn_id` is the running turn; the session is erased at `expires_at`, if set."""

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

    `error` is that of a failed turn. `version` is the sequence of the turn's last event. A running
    turn has the `stream_url` of its events, which grants access without a token.
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
    stream_url: str | None = Field(default=None, exclude_if=_absent)


class Assistant(Shape):
    """Only administrators see `instructions`; a retired assistant takes no new sessions.

    A deleted session with it can be restored for `undelete_seconds`, at present; 0: it is erased
    at once. A new temporary session is erased after `temporary_seconds`.
    """

    object: Literal["assistant"] = "assistant"
    id: str
    version: int
    name: str
    description: str
    model: str | None
    default: bool
    retired: bool = False
    undelete_seconds: int = 0
    temporary_seconds: int | None = Field(default=None, exclude_if=_absent)
    instructions: str | None = Field(default=None, exclude_if=_absent)


class ApiKey(Shape):
    """A credential of a person's programs; without `models` they may use all.

    `limits` are its own, by name. `last_used_on` is a day in UTC.
    """

    object: Literal["api_key"] = "api_key"
    id: UUID
    name: str
    scopes: list[str]
    models: list[str] | None
    created_at: Time
    expires_at: Time | None
    limits: dict[str, int] = {}
    last_used_on: date | None


class CreatedApiKey(ApiKey):
    """`key` is what the program sends as its bearer token; it is never shown again."""

    key: str


class ApiKeyDeleted(Shape):
    object: Literal["api_key.deleted"] = "api_key.deleted"
    id: UUID
    deleted: Literal[True] = True


class Revocation(Shape):
    """Tokens that are refused: that with the `jti`, or those that were issued to the user or in the
    tenant before `revoked_at`. It is kept until none of them can be valid (`expires_at`).
    """

    object: Literal["revocation"] = "revocation"
    id: UUID
    kind: RevocationKind
    target: str
    revoked_by: str
    revoked_at: Time
    expires_at: Time


class AuditRecordObject(Shape):
    kind: str
    id: str


class AuditRecord(Shape):
    """One act in the audit trail: a change that was done, a read that was allowed, or a refusal.

    `left_out` is the number of like refusals without a record of their own. `hash` is the one by
    which the next record of the installation refers to this one.
    """

    object: Literal["audit_record"] = "audit_record"
    id: UUID
    sequence: int
    created_at: Time
    action: str
    outcome: AuditOutcome
    code: str | None = None
    user: str | None
    system: bool = False
    objects: list[AuditRecordObject]
    request_id: str | None
    client_address: str | None
    api_key_id: str | None
    token_id: str | None
    left_out: int | None = Field(default=None, exclude_if=_absent)
    hash: str


class Page(Shape, Generic[Item]):
    """A page of a list; `version` is the projected one, if read from a projection.

    `behind` is true in a page that lacks acknowledged writes, which the client allowed.
    """

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: Any = None
    last_id: Any = None
    has_more: bool = False
    version: int | None = Field(default=None, exclude_if=_absent)
    behind: bool | None = Field(default=None, exclude_if=_absent)

    @classmethod
    def of(cls, items: list[Item], *, has_more: bool = False) -> Self:
        """A page of items that have an `id`."""
        ids = [cast(Any, item).id for item in items] or [None]
        return cls(data=items, first_id=ids[0], last_id=ids[-1], has_more=has_more)
