"""Decides commands on messages outside of a turn: import, and compaction of the context."""

from collections.abc import Sequence
from uuid import UUID

from parley_events.session import ContextCompacted, MessageImported
from parley_session.domain.session.commands import CompactContext, ImportedMessage, ImportMessages
from parley_session.domain.session.decide_turns import require_no_open_turn
from parley_session.domain.session.errors import IdTaken, MessageNotFound, ParentNotFound
from parley_session.domain.session.event_builder import EventBuilder
from parley_session.domain.session.state import Session


def import_messages(session: Session, command: ImportMessages, builder: EventBuilder) -> None:
    require_no_open_turn(session)
    new = [message for message in command.messages if message.id not in session.messages]
    ids = {message.id for message in new}
    if len(ids) < len(new) or ids & session.ended_turns.keys():
        raise IdTaken
    added = set[UUID]()
    for message in new:
        parent_id = message.parent_message_id
        if parent_id and parent_id not in session.messages and parent_id not in added:
            raise ParentNotFound
        added.add(message.id)
    add_imported(new, session.leaf_message_id, builder)


def add_imported(
    messages: Sequence[ImportedMessage], newest_id: UUID | None, builder: EventBuilder
) -> None:
    """Append the messages to a session in which `newest_id` is the newest one."""
    for message in messages:
        parent_id = None if message.as_root else message.parent_message_id or newest_id
        # A model server may count 0 tokens for a text, but 0 stands for no text.
        tokens = (message.tokens or None) if message.content else 0
        builder.add(
            MessageImported(
                **builder.common_fields,
                message_id=message.id,
                parent_message_id=parent_id,
                role=message.role,
                content=builder.seal_object("content", {"text": message.content}),
                original_time=message.original_time,
                tokens=tokens,
                status=None if message.status == "completed" else message.status,
                model=message.model,
                finish_reason=message.finish_reason,
                usage=message.usage,
                error_code=message.error_code,
            )
        )
        newest_id = message.id


def compact_context(session: Session, command: CompactContext, builder: EventBuilder) -> None:
    """Ignores a summary that an existing one of the same branch already covers."""
    if command.up_to_message_id not in session.messages:
        raise MessageNotFound
    for compacted in session.compactions:
        branch = session.branch_to(compacted)
        if any(message_id == command.up_to_message_id for message_id, _ in branch):
            return
    builder.add(
        ContextCompacted(
            **builder.common_fields,
            up_to_message_id=command.up_to_message_id,
            summary=builder.seal_object("summary", {"text": command.summary}),
            model=command.model,
            tokens=command.tokens,
            usage=command.usage,
            price=command.price,
        )
    )
