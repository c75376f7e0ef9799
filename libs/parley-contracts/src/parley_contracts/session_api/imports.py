"""Bodies of the import route, which accepts the messages of an export as they are."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from parley_contracts.api_models import FinishReason
from parley_contracts.session_api.limits import MAX_IMPORTED_MESSAGES
from parley_contracts.session_api.requests import Count, ErrorCode, ModelName, Request, TokenUsage

OnError = Literal["reject", "skip"]


class ExportedUsage(TokenUsage):
    """Usage as an export writes it; the total is not stored."""

    total_tokens: Annotated[int, Meta(ge=0)] | None = None


class ImportedMessage(Request, kw_only=True):
    """A message of an import; without `id` it is derived from the call up to here.

    A null parent makes it a first message; without the field it follows the newest one. The last
    four fields describe the session that was exported, and are not stored.
    """

    id: UUID | None = None
    parent_message_id: UUID | UnsetType | None = UNSET
    role: Literal["user", "assistant", "system"]
    content: str
    created_at: Annotated[datetime, Meta(tz=True)] | None = None
    status: Literal["completed", "failed", "cancelled"] = "completed"
    model: ModelName | None = None
    finish_reason: FinishReason | None = None
    usage: ExportedUsage | None = None
    error_code: ErrorCode | None = None
    object: Literal["message"] = "message"
    session_id: UUID | None = None
    turn_id: UUID | None = None
    version: Count | None = None


class ImportMessagesRequest(Request):
    """`POST /sessions/{id}/import`

    Each message is an `ImportedMessage`, decoded by itself: a bad one does not hide the others.
    `object` and `session` are the other fields of a session's export, and are not stored.
    """

    messages: Annotated[list[Raw], Meta(max_length=MAX_IMPORTED_MESSAGES)]
    on_error: OnError = "reject"
    object: Literal["session_export"] = "session_export"
    session: Raw = Raw(b"null")


class BadRecord(Struct, frozen=True):
    """Why a message of an import is not accepted. `index` counts from 0; `param` is its field."""

    index: int
    param: str
    code: str
    message: str


class ImportMessagesResponse(Struct, kw_only=True):
    """`skipped` messages existed before; of the `failed` ones the first 100 are in `errors`."""

    object: Literal["history_import"] = "history_import"
    session_id: UUID
    imported: int
    skipped: int
    failed: int
    errors: list[BadRecord]
    version: int
