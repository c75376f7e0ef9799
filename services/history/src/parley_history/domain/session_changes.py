"""Column changes of a session's row by events without a message or a new turn."""

from collections.abc import Mapping
from typing import Any, assert_never

from parley_events.session import (
    CancelRequested,
    ContextCompacted,
    Event,
    LegalHoldLifted,
    LegalHoldPlaced,
    SessionArchived,
    SessionDeleted,
    SessionErased,
    SessionMetadataChanged,
    SessionRenamed,
    SessionRestored,
    SessionUnarchived,
    UnknownEvent,
)

_ERASED = {
    "title": None,
    "title_event_id": None,
    "metadata": None,
    "metadata_event_id": None,
    "open_turn_id": None,
    "open_turn_message_id": None,
    "leaf_message_id": None,
}


def changed_columns(
    event: Event,
    data: CancelRequested
    | ContextCompacted
    | SessionRenamed
    | SessionMetadataChanged
    | SessionArchived
    | SessionUnarchived
    | SessionDeleted
    | SessionRestored
    | LegalHoldPlaced
    | LegalHoldLifted
    | SessionErased
    | UnknownEvent,
) -> Mapping[str, Any]:
    """Return the columns that change with the event, and their new values."""
    match data:
        case CancelRequested() | ContextCompacted() | UnknownEvent():
            return {}
        case SessionRenamed(title=title):
            return {"title": title, "title_event_id": None if title is None else event.id}
        case SessionMetadataChanged(metadata=metadata):
            return {"metadata": metadata, "metadata_event_id": event.id}
        case SessionArchived() | SessionUnarchived():
            return {"archived": isinstance(data, SessionArchived)}
        case SessionDeleted() | SessionRestored():
            return {"deleted": isinstance(data, SessionDeleted)}
        case LegalHoldPlaced() | LegalHoldLifted():
            return {"held": isinstance(data, LegalHoldPlaced)}
        case SessionErased():
            return _ERASED | {"erased_at": event.time}
        case other:
            assert_never(other)
