"""What is said without a turn: messages brought along, and summaries of what was said."""

from collections.abc import Sequence
from uuid import UUID

from parley_events.session import ContextCompacted, Event, MessageImported
from parley_session.domain.session.commands import CompactContext, ImportedMessage, ImportMessages
from parley_session.domain.session.decide_turns import require_no_open_turn
from parley_session.domain.session.errors import IdTaken, MessageNotFound
from parley_session.domain.session.event_builder import CommandMetadata, EventBuilder, Seal
from parley_session.domain.session.state import Session


def import_messages(
    session: Session, command: ImportMessages, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    require_no_open_turn(session)
    new = [message for message in command.messages if message.id not in session.messages]
    ids = {message.id for message in new}
    if len(ids) < len(new) or ids & session.ended_turns.keys():
        raise IdTaken
    drafts = EventBuilder(session.id, session, moment, seal)
    add_imported(new, session.leaf_message_id, drafts)
    return drafts.events


def add_imported(
    messages: Sequence[ImportedMessage], parent_id: UUID | None, drafts: EventBuilder
) -> None:
    """Each follows the one before, the first one the parent."""
    for message in messages:
        drafts.add(
            MessageImported(
                **drafts.common,
                message_id=message.id,
                parent_message_id=parent_id,
                role=message.role,
                content=drafts.seal_object("content", {"text": message.content}),
                original_time=message.original_time,
                tokens=message.tokens,
            )
        )
        parent_id = message.id


def compact_context(
    session: Session, command: CompactContext, moment: CommandMetadata, seal: Seal
) -> list[Event]:
    """A summary that reaches less far than one there is, of the same line, is of no use."""
    if command.up_to_message_id not in session.messages:
        raise MessageNotFound
    for reached in session.compactions:
        if any(at == command.up_to_message_id for at, _ in session.line(reached)):
            return []
    drafts = EventBuilder(session.id, session, moment, seal)
    drafts.add(
        ContextCompacted(
            **drafts.common,
            up_to_message_id=command.up_to_message_id,
            summary=drafts.seal_object("summary", {"text": command.summary}),
            model=command.model,
            tokens=command.tokens,
            usage=command.usage,
            price=command.price,
        )
    )
    return drafts.events
