"""Projects events onto columns of the `sessions` row, which are readable without a key."""

from collections.abc import Sequence

from parley_events.session import (
    Event,
    LegalHoldLifted,
    LegalHoldPlaced,
    SessionArchived,
    SessionDeleted,
    SessionErased,
    SessionRestored,
    SessionStarted,
    SessionUnarchived,
)


def session_column_changes(events: Sequence[Event]) -> dict[str, object]:
    """New values by column, besides version and time. Most events change none."""
    changes: dict[str, object] = {}
    for event in events:
        changes |= _changes_by(event)
    return changes


def _changes_by(event: Event) -> dict[str, object]:
    match event.data:
        case SessionStarted(expires_at=expires_at) if expires_at is not None:
            return {"erase_at": expires_at}
        case SessionArchived():
            return {"archived": True}
        case SessionUnarchived():
            return {"archived": False}
        case LegalHoldPlaced():
            return {"held": True}
        case LegalHoldLifted():
            return {"held": False}
        case SessionDeleted(erase_at=erase_at):
            return {"deleted": True, "deleted_at": event.time, "erase_at": erase_at}
        case SessionRestored():
            return {"deleted": False, "deleted_at": None, "erase_at": None}
        case SessionErased():
            # Destroys the key in the same commit as the event.
            return {
                "wrapped_key": None,
                "snapshot": None,
                "snapshot_version": None,
                "erased_at": event.time,
                "erase_at": None,
            }
        case _:
            return {}
