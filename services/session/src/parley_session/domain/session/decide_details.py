"""How a session begins, and what is changed of it as a whole."""

from collections.abc import Mapping
from typing import assert_never

from parley_events.session import (
    Event,
    LegalHoldLifted,
    LegalHoldPlaced,
    SessionArchived,
    SessionMetadataChanged,
    SessionRenamed,
    SessionStarted,
    SessionUnarchived,
)
from parley_session.domain.session.access import existing, not_erased, owned
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
from parley_session.domain.session.errors import SessionIdUnavailable, SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata, EventBuilder, Seal
from parley_session.domain.session.state import Session


def start(
    session: Session | None, command: StartSession, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    if session is not None:
        raise SessionIdUnavailable
    drafts = EventBuilder(command.session_id, None, moment, seal)
    drafts.add(
        SessionStarted(
            **drafts.common,
            owner=moment.actor.user,
            tenant=moment.actor.tenant,
            assistant_id=command.assistant_id,
            assistant_version=command.assistant_version,
            title=drafts.seal("title", command.title),
            metadata=_sealed_metadata(command.metadata, drafts),
            expires_at=command.expires_at,
            forked_from=command.forked_from,
        )
    )
    add_imported(command.messages, None, drafts)
    return drafts.events


def change(
    session: Session | None, command: ChangeSession, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    if any(not isinstance(change, SetLegalHold) for change in command.changes):
        session = owned(existing(session), moment)
    session = not_erased(session)
    if session.tenant != moment.actor.tenant:
        raise SessionNotFound
    drafts = EventBuilder(session.id, session, moment, seal)
    for change in command.changes:
        _make(change, session, drafts)
    return drafts.events


def _make(change: Change, session: Session, drafts: EventBuilder) -> None:
    match change:
        case RenameSession(title=title):
            if title is not None or session.title_sequence is not None:
                drafts.add(SessionRenamed(**drafts.common, title=drafts.seal("title", title)))
        case ChangeMetadata(metadata=metadata):
            sealed = drafts.seal_object("metadata", dict(metadata))
            drafts.add(SessionMetadataChanged(**drafts.common, metadata=sealed))
        case SetArchived(archived=archived):
            if archived != session.archived:
                turned = SessionArchived if archived else SessionUnarchived
                drafts.add(turned(**drafts.common))
        case SetLegalHold(held=held):
            if held != session.held:
                turned_hold = LegalHoldPlaced if held else LegalHoldLifted
                drafts.add(turned_hold(**drafts.common))
        case other:
            assert_never(other)


def suggest_title(
    session: Session, command: SuggestTitle, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    if session.title_sequence is not None or session.expires_at is not None:
        return []
    drafts = EventBuilder(session.id, session, moment, seal)
    drafts.add(
        SessionRenamed(
            **drafts.common,
            title=drafts.seal("title", command.title),
            suggested=True,
            model=command.model,
            usage=command.usage,
            price=command.price,
        )
    )
    return drafts.events


def _sealed_metadata(metadata: Mapping[str, str] | None, drafts: EventBuilder) -> bytes | None:
    return None if metadata is None else drafts.seal_object("metadata", dict(metadata))
