"""Decides commands on the session itself: start, title, metadata, archive, legal hold."""

from collections.abc import Mapping
from typing import assert_never

from parley_events.session import (
    LegalHoldLifted,
    LegalHoldPlaced,
    SessionArchived,
    SessionMetadataChanged,
    SessionRenamed,
    SessionStarted,
    SessionUnarchived,
)
from parley_session.domain.session.access import require_not_deleted, require_owner
from parley_session.domain.session.commands import (
    Change,
    ChangeMetadata,
    ChangeSession,
    RenameSession,
    SetArchived,
    SetLegalHold,
    StartSession,
    SuggestTitle,
)
from parley_session.domain.session.decide_messages import add_imported
from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import EventBuilder
from parley_session.domain.session.state import Session


def start(command: StartSession, builder: EventBuilder) -> None:
    builder.add(
        SessionStarted(
            **builder.common_fields,
            owner=builder.actor.user,
            tenant=builder.actor.tenant,
            assistant_id=command.assistant_id,
            assistant_version=command.assistant_version,
            title=builder.seal("title", command.title),
            metadata=_sealed_metadata(command.metadata, builder),
            expires_at=command.expires_at,
            forked_from=command.forked_from,
        )
    )
    add_imported(command.messages, None, builder)


def change(session: Session, command: ChangeSession, builder: EventBuilder) -> None:
    if any(not isinstance(change, SetLegalHold) for change in command.changes):
        require_owner(require_not_deleted(session), builder.actor)
    if session.tenant != builder.actor.tenant:
        raise SessionNotFound
    for change in command.changes:
        _apply(change, session, builder)


def _apply(change: Change, session: Session, builder: EventBuilder) -> None:
    match change:
        case RenameSession(title=title):
            if title is not None or session.title_sequence is not None:
                builder.add(
                    SessionRenamed(**builder.common_fields, title=builder.seal("title", title))
                )
        case ChangeMetadata(metadata=metadata):
            sealed = builder.seal_object("metadata", dict(metadata))
            builder.add(SessionMetadataChanged(**builder.common_fields, metadata=sealed))
        case SetArchived(archived=archived):
            if archived != session.archived:
                event_type = SessionArchived if archived else SessionUnarchived
                builder.add(event_type(**builder.common_fields))
        case SetLegalHold(placed=placed):
            if placed != session.legal_hold:
                hold_event_type = LegalHoldPlaced if placed else LegalHoldLifted
                builder.add(hold_event_type(**builder.common_fields))
        case other:
            assert_never(other)


def suggest_title(session: Session, command: SuggestTitle, builder: EventBuilder) -> None:
    if session.title_sequence is not None or session.expires_at is not None:
        return
    builder.add(
        SessionRenamed(
            **builder.common_fields,
            title=builder.seal("title", command.title),
            suggested=True,
            model=command.model,
            usage=command.usage,
            price=command.price,
        )
    )


def _sealed_metadata(metadata: Mapping[str, str] | None, builder: EventBuilder) -> bytes | None:
    return None if metadata is None else builder.seal_object("metadata", dict(metadata))
