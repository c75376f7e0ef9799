"""JSON of a message page: `parley_contracts.api_models.Page[Message]`, encoded in one step."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from parley_contracts.api_models import rfc3339
from parley_core.crypto.sealing import DataKey, unseal
from parley_history.domain.rows import MessageRow, sealed_field
from parley_history.queries.messages.page_repository import StoredPage

_encode = msgspec.json.Encoder().encode


class _Usage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated: bool


class MessageJson(Struct, frozen=True):
    object: str
    id: UUID
    session_id: UUID
    turn_id: UUID | None
    parent_message_id: UUID | None
    role: str
    content: str
    status: str
    version: int
    created_at: str
    model: str | UnsetType
    finish_reason: str | UnsetType
    usage: _Usage | UnsetType
    error_code: str | UnsetType


class _Page(Struct, frozen=True):
    object: str
    data: Sequence[MessageJson]
    first_id: UUID | None
    last_id: UUID | None
    has_more: bool
    version: int
    behind: bool | UnsetType


def encode_page(page: StoredPage, key: DataKey | None, *, behind: bool) -> bytes:
    """`key` may be None only for a page without messages. Raises UnsealError."""
    data = [message_json(row, key) for row in page.messages if key is not None]
    return _encode(
        _Page(
            "list",
            data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=page.has_more,
            version=page.version,
            behind=behind or UNSET,
        )
    )


def sealed_bytes(rows: Sequence[MessageRow]) -> int:
    """The size of the content of all rows."""
    return sum(len(row.content or b"") for row in rows)


def message_json(row: MessageRow, key: DataKey) -> MessageJson:
    """Raises UnsealError."""
    return MessageJson(
        object="message",
        id=row.id,
        session_id=row.session_id,
        turn_id=row.turn_id,
        parent_message_id=row.parent_id,
        role=row.role,
        content=unseal_text(
            row.content,
            key,
            field=sealed_field(row.status, row.original_time),
            session_id=row.session_id,
            event_id=row.event_id,
        ),
        status=row.status,
        version=row.version,
        created_at=rfc3339(row.original_time or row.created_at),
        model=row.model or UNSET,
        finish_reason=row.finish_reason or UNSET,
        usage=_usage(row),
        error_code=row.error_code or UNSET,
    )


def unseal_text(
    content: bytes | None, key: DataKey, *, field: str, session_id: UUID, event_id: UUID
) -> str:
    """Return the text of a message, sealed as this field. Raises UnsealError."""
    if content is None:
        return ""
    parts: dict[str, Any] = unseal(
        key, content, session_id=session_id, event_id=event_id, field=field
    )
    return str(parts.get("text", ""))


def _usage(row: MessageRow) -> _Usage | UnsetType:
    if row.prompt_tokens is None or row.completion_tokens is None:
        return UNSET
    total = row.prompt_tokens + row.completion_tokens
    return _Usage(row.prompt_tokens, row.completion_tokens, total, bool(row.tokens_estimated))
