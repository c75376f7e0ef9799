"""Message rows built from the events that add messages."""

from typing import Any, assert_never
from uuid import UUID

from msgspec.structs import replace

from parley_events.session import (
    Event,
    MessageImported,
    MessageSubmitted,
    ReplyCancelled,
    ReplyCompleted,
    ReplyFailed,
)
from parley_events.values import Price, Usage
from parley_history.domain.rows import MessageRow


def submitted_message(event: Event, data: MessageSubmitted | MessageImported) -> MessageRow:
    return MessageRow(
        session_id=event.session_id,
        version=event.sequence,
        id=data.message_id,
        event_id=event.id,
        turn_id=None,
        parent_id=data.parent_message_id,
        role="user",
        status="completed",
        created_at=event.time,
        content=data.content,
    )


def imported_message(event: Event, data: MessageImported) -> MessageRow:
    return replace(
        submitted_message(event, data),
        role=data.role,
        status=data.status or "completed",
        original_time=data.original_time,
        model=data.model,
        finish_reason=data.finish_reason,
        error_code=data.error_code,
        **_usage_columns(data.usage),
    )


def reply_message(
    event: Event, end: ReplyCompleted | ReplyFailed | ReplyCancelled, parent_id: UUID | None
) -> MessageRow:
    return MessageRow(
        session_id=event.session_id,
        version=event.sequence,
        id=end.reply_id,
        event_id=event.id,
        turn_id=end.turn_id,
        parent_id=parent_id,
        role="assistant",
        created_at=event.time,
        model=end.model,
        **_usage_columns(end.usage),
        **_price_columns(end.price),
        **_outcome_columns(end),
    )


def _usage_columns(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "tokens_estimated": usage.estimated,
    }


def _price_columns(price: Price | None) -> dict[str, Any]:
    if price is None:
        return {}
    return {
        "price_currency": price.currency,
        "price_prompt": price.prompt,
        "price_completion": price.completion,
    }


def _outcome_columns(end: ReplyCompleted | ReplyFailed | ReplyCancelled) -> dict[str, Any]:
    """Return the columns that only one of the three outcomes has."""
    match end:
        case ReplyCompleted():
            return {
                "status": "completed",
                "content": end.content,
                "finish_reason": end.finish_reason,
            }
        case ReplyFailed():
            return {
                "status": "failed",
                "content": end.partial_content,
                "error_code": end.code,
                "error_details": end.details,
            }
        case ReplyCancelled():
            return {"status": "cancelled", "content": end.partial_content}
        case other:
            assert_never(other)
