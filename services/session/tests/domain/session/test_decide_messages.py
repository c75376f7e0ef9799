"""Decisions on branches, imported messages and summaries."""

from dataclasses import replace
from uuid import UUID

import pytest
from session_support.deciding import (
    ADA,
    COMPLETE,
    FAIL,
    MESSAGE,
    NEXT,
    NOON,
    PARLEY,
    REPLY,
    SESSION,
    START,
    SUBMIT,
    TURN,
    given,
    seal,
    types,
    when,
)

from parley_events.session import MessageImported, ReplyRequested
from parley_events.values import ForkPoint
from parley_session.domain.session.commands import (
    CompactContext,
    ImportedMessage,
    ImportMessages,
    RegenerateReply,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import (
    IdTaken,
    MessageNotFound,
    ParentNotFound,
    TurnOpen,
)
from parley_session.domain.session.state import Role, evolve, fold

AGAIN = RegenerateReply(None, UUID(int=21), UUID(int=22), "other")
NEXT_COMPLETE = replace(COMPLETE, turn_id=NEXT.turn_id)
COMPACT = CompactContext(REPLY, "They met.", "demo", tokens=3)


def messages_to_import(number: int, role: Role = "user") -> ImportedMessage:
    return ImportedMessage(UUID(int=100 + number), role, f"message {number}", NOON, number)


THREE = [messages_to_import(1), messages_to_import(2, "assistant"), messages_to_import(3, "system")]


def test_imported_messages_follow_their_parents_or_else_the_newest_message() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    first, second, third = THREE
    below = replace(third, parent_message_id=first.id)
    added = when(session, ImportMessages([replace(first, as_root=True), second, below]))
    assert [event.parent_message_id for event in added] == [None, first.id, first.id]
    with pytest.raises(ParentNotFound):
        when(session, ImportMessages([below, first]))


def test_a_root_message_has_no_parent() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, replace(NEXT, as_root=True))
    assert session is not None
    assert session.messages[NEXT.message_id].parent_id is None


def test_an_edit_may_follow_a_user_message() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, replace(NEXT, parent_message_id=MESSAGE))
    assert session is not None
    assert [at for at, _ in session.branch_to(session.leaf_message_id)] == [
        NEXT.message_id,
        MESSAGE,
    ]


def test_a_regenerated_reply_is_a_sibling_and_its_turn_alone_is_opened() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    [requested] = when(session, replace(AGAIN, assistant_version=3))
    assert isinstance(requested, ReplyRequested)
    assert (requested.parent_message_id, requested.model) == (MESSAGE, "other")
    assert requested.assistant_version == 3
    session, _ = given(START, SUBMIT, COMPLETE, AGAIN, replace(FAIL, turn_id=AGAIN.turn_id))
    assert session is not None
    assert session.leaf_message_id == AGAIN.reply_id
    assert session.messages[AGAIN.reply_id].parent_id == session.messages[REPLY].parent_id


def test_a_reply_to_any_user_message_is_regenerated() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, NEXT, NEXT_COMPLETE)
    assert when(session, AGAIN)[0].parent_message_id == NEXT.message_id
    assert when(session, replace(AGAIN, message_id=MESSAGE))[0].parent_message_id == MESSAGE


@pytest.mark.parametrize("message_id", [REPLY, UUID(int=99)])
def test_only_replies_to_user_messages_are_regenerated(message_id: UUID) -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    with pytest.raises(MessageNotFound):
        when(session, replace(AGAIN, message_id=message_id))
    for empty, _ in (given(START), given(START, ImportMessages([messages_to_import(1, "system")]))):
        with pytest.raises(MessageNotFound):
            when(empty, AGAIN)


def test_messages_and_imports_are_rejected_while_a_turn_is_open() -> None:
    session, _ = given(START, SUBMIT)
    for command in (AGAIN, ImportMessages(THREE)):
        with pytest.raises(TurnOpen) as rejected:
            when(session, command)
        assert rejected.value.turn_id == TURN


def test_a_regenerated_reply_needs_unused_ids() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    for taken in (replace(AGAIN, turn_id=TURN), replace(AGAIN, reply_id=REPLY)):
        with pytest.raises(IdTaken):
            when(session, taken)


def test_imported_messages_follow_the_newest_one_and_each_other() -> None:
    session, events = given(START, SUBMIT, COMPLETE, ImportMessages(THREE))
    assert types(events[4:]) == ["message_imported"] * 3
    assert session is not None
    branch = [(at, node.role) for at, node in session.branch_to(session.leaf_message_id)]
    assert branch == [
        *((message.id, message.role) for message in reversed(THREE)),
        (REPLY, "assistant"),
        (MESSAGE, "user"),
    ]
    first = events[4].data
    assert isinstance(first, MessageImported)
    assert first.content == seal(SESSION, events[4].id, "content", {"text": "message 1"})
    assert (first.original_time, first.tokens) == (NOON, 1)


def test_a_repeated_import_adds_only_new_messages() -> None:
    session, _ = given(START, ImportMessages(THREE[:2]))
    assert when(session, ImportMessages(THREE[:2])) == []
    [third] = when(session, ImportMessages(THREE))
    assert (third.message_id, third.parent_message_id) == (THREE[2].id, THREE[1].id)


def test_an_imported_message_needs_an_unused_id() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    for messages in (
        [replace(messages_to_import(1), id=TURN)],
        [messages_to_import(1), messages_to_import(1)],
    ):
        with pytest.raises(IdTaken):
            when(session, ImportMessages(messages))


def test_a_reply_to_an_imported_message_is_requested() -> None:
    session, _ = given(START, ImportMessages(THREE))
    assert when(session, AGAIN)[0].parent_message_id == THREE[0].id
    assert when(session, NEXT)[0].parent_message_id == THREE[2].id


def test_a_fork_starts_with_the_copied_messages() -> None:
    point = ForkPoint(session_id=UUID(int=50), message_id=UUID(int=51))
    session, events = given(replace(START, messages=THREE, forked_from=point))
    assert types(events) == ["session_started", *["message_imported"] * 3]
    assert session is not None
    assert (session.forked_from, len([*session.branch_to(session.leaf_message_id)])) == (point, 3)


def test_a_summary_is_stored_with_the_last_message_that_it_covers() -> None:
    session, events = given(START, SUBMIT, COMPLETE, COMPACT)
    assert session is not None
    summary = session.compactions[REPLY]
    assert (summary.sequence, summary.tokens) == (events[-1].sequence, 3)


def test_a_summary_covered_by_another_is_ignored() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, NEXT, NEXT_COMPLETE, COMPACT)
    assert when(session, COMPACT, PARLEY) == []
    assert when(session, replace(COMPACT, up_to_message_id=MESSAGE), PARLEY) == []
    assert len(when(session, replace(COMPACT, up_to_message_id=NEXT.reply_id), PARLEY)) == 1


def test_summaries_of_two_branches_are_both_stored() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, COMPACT, replace(NEXT, as_root=True))
    assert len(when(session, replace(COMPACT, up_to_message_id=NEXT.message_id), PARLEY)) == 1


def test_a_summary_up_to_an_unknown_message_is_rejected() -> None:
    session, _ = given(START, SUBMIT)
    with pytest.raises(MessageNotFound):
        when(session, replace(COMPACT, up_to_message_id=UUID(int=99)), PARLEY)


def test_folding_events_together_or_one_by_one_gives_the_same_state() -> None:
    _, events = given(START, SUBMIT, COMPLETE, NEXT, NEXT_COMPLETE, ImportMessages(THREE))
    one_by_one = None
    for event in events:
        one_by_one = evolve(one_by_one, event)
    assert fold(events) == one_by_one
    early = fold(events[:4])
    assert early is not None
    assert fold(events[4:], early) == one_by_one
    assert list(early.messages) == [MESSAGE, REPLY]
    assert decide(early, NEXT, ADA, seal)
