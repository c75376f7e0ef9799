"""Response models of the OpenAPI document; most responses pass through as bytes."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from parley_contracts.api_models import (
    ApiKey,
    Assistant,
    AuditRecord,
    ErrorShape,
    Message,
    Page,
    Revocation,
    SessionShape,
    Shape,
    Time,
)


def _absent(value: Any) -> bool:
    return value is None


class BadRecord(Shape):
    """Why a message of an import is not accepted. `index` counts from 0; `param` is its field."""

    index: int
    param: str
    code: str
    message: str


class RequestError(ErrorShape):
    """Only a rejected import has `records`: its bad messages, up to 100."""

    records: list[BadRecord] | None = Field(default=None, exclude_if=_absent)


class ErrorResponse(Shape):
    """The body of every error. `code` is for programs, `message` for people."""

    error: RequestError


class MessageList(Page[Message]):
    """A page of a conversation, as projected up to `version`."""

    data: list[Message]
    first_id: UUID | None = None
    last_id: UUID | None = None


class SessionList(Page[SessionShape]):
    """Eventually consistent: the very latest changes of others may be missing."""

    data: list[SessionShape]
    first_id: UUID | None = None
    last_id: UUID | None = None


class SessionDeleted(Shape):
    """The session can be restored until `erase_at`; null means erased at once."""

    object: Literal["session.deleted"] = "session.deleted"
    id: UUID
    erased: bool
    erase_at: AwareDatetime | None
    version: int


class SessionsDeleted(Shape):
    """`held` is the number of sessions under a legal hold, which are not erased."""

    object: Literal["sessions.deleted"] = "sessions.deleted"
    erased: int
    held: int
    has_more: bool


class HistoryImport(Shape):
    """`skipped` is the number of messages that already existed, `failed` that of the bad ones, of
    which `errors` names up to 100.
    """

    object: Literal["history_import"] = "history_import"
    session_id: UUID
    imported: int
    skipped: int
    failed: int
    errors: list[BadRecord]
    version: int


class SearchResult(Shape):
    object: Literal["search_result"] = "search_result"
    session_id: UUID
    session_title: str | None
    message: Message


class SearchResults(Page[SearchResult]):
    """Cursors are message ids."""

    data: list[SearchResult]
    first_id: UUID | None = None
    last_id: UUID | None = None


class SessionExport(Shape):
    """Messages of all branches, oldest first."""

    object: Literal["session_export"] = "session_export"
    session: SessionShape
    messages: list[Message]


class Export(Shape):
    object: Literal["export"] = "export"
    sessions: list[SessionExport]


class Cost(Shape):
    """`micros` is in millionths of the currency."""

    currency: str
    micros: int


class UsageTotals(Shape):
    """`estimated_tokens` is the part that no model server reported.

    Tokens and cost include titles, summaries and chat completions without a session.
    """

    replies: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_tokens: int
    cost: list[Cost]


class UsageGroup(UsageTotals):
    """Has the one field that the report is grouped by. A null session or assistant stands for chat
    completions without a session.
    """

    object: Literal["usage.group"] = "usage.group"
    day: date | None = Field(default=None, exclude_if=_absent)
    session_id: UUID | None = Field(default=None, exclude_if=_absent)
    assistant_id: str | None = Field(default=None, exclude_if=_absent)
    model: str | None = Field(default=None, exclude_if=_absent)
    user: str | None = Field(default=None, exclude_if=_absent)


class UsageReport(Shape):
    """`total` covers all groups, not only this page."""

    object: Literal["usage"] = "usage"
    start: date
    end: date
    group_by: Literal["day", "session", "assistant", "model", "user"] | None = None
    total: UsageTotals
    data: list[UsageGroup]
    has_more: bool = False
    next: str | None = None


class AssistantList(Page[Assistant]):
    data: list[Assistant]
    first_id: str | None = None
    last_id: str | None = None


class ApiKeyList(Page[ApiKey]):
    data: list[ApiKey]
    first_id: UUID | None = None
    last_id: UUID | None = None


class RevocationPage(Page[Revocation]):
    data: list[Revocation]
    first_id: UUID | None = None
    last_id: UUID | None = None


class AuditPage(Page[AuditRecord]):
    data: list[AuditRecord]
    first_id: UUID | None = None
    last_id: UUID | None = None


class Model(Shape):
    object: Literal["model"] = "model"
    id: str
    created: int
    owned_by: str
    context_size: int


class ModelList(Shape):
    object: Literal["list"] = "list"
    data: list[Model]


class AssistantSwitch(Shape):
    """The caller's latest session with the assistant, or a new one, with its last 20 messages."""

    object: Literal["assistant_switch"] = "assistant_switch"
    session: SessionShape
    created: bool
    messages: list[Message]


class SignInIssuer(Shape):
    """An OpenID Connect provider at which the chat page can sign people in (code flow with PKCE).

    `scope` and `parameters` are for the authorization request.
    """

    name: str
    issuer: str
    client_id: str
    scope: str
    parameters: dict[str, str]


class ClientConfig(Shape):
    """`build` names the build of the chat page that the gateway serves; null without one.

    `issuers` is empty where tokens are signed with the development secret, or no issuer knows the
    page. `languages` are those of the page, as BCP 47 tags.
    """

    object: Literal["client_config"] = "client_config"
    issuers: list[SignInIssuer]
    max_message_bytes: int
    heartbeat_seconds: float
    languages: list[str]
    build: str | None


class LimitStanding(Shape):
    """`used` may exceed `limit`: tokens and costs count once a reply has ended.

    It counts what one person does, or all people of a `tenant` together; with an `api_key` or a
    `model` these alone. `resets_at` is null for a number at once. The numbers of a budget are
    micro-units of its `currency`; `reserved` is what the replies that run may cost.
    """

    object: Literal["limit"] = "limit"
    name: str
    per: Literal["person", "tenant"]
    limit: int
    used: int
    reserved: int
    remaining: int
    currency: str | None
    resets_at: Time | None
    api_key: str | None
    model: str | None


class LimitList(Shape):
    object: Literal["limits"] = "limits"
    data: list[LimitStanding]


class Health(Shape):
    status: Literal["ok"] = "ok"


class NotReady(Shape):
    status: Literal["starting", "stopping", "stuck"]
    missing: list[Literal["token_issuer", "session"]]
