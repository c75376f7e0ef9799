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
    ReplyEnded,
    ReplyFailed,
)
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
    return replace(submitted_message(event, data), role=data.role, original_time=data.original_time)


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
        **_usage_columns(end),
        **_outcome_columns(end),
    )


def _usage_columns(end: ReplyEnded) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if usage := end.usage:
        columns |= {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "tokens_estimated": usage.estimated,
        }
    if price := end.price:
        columns |= {
            "price_currency": price.currency,
            "price_prompt": price.prompt,
            "price_completion": price.completion,
        }
    return columns


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
