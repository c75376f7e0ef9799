"""Decisions on turns: preceding messages, models and cancellation."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from session_support.deciding import (
    ADA,
    COMPLETE,
    FAIL,
    MESSAGE,
    NEXT,
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

from parley_events.session import MessageSubmitted, ReplyCancelled
from parley_session.domain.session.commands import RegenerateReply, RequestCancel, UserMessage
from parley_session.domain.session.errors import IdTaken, TurnOpen

FIRST, SECOND = UUID(int=31), UUID(int=32)
PRECEDING = [UserMessage(FIRST, "one", 1), UserMessage(SECOND, "two")]
SEVERAL = replace(SUBMIT, preceding=PRECEDING, tokens=3)


def test_preceding_messages_form_a_chain_and_open_one_turn() -> None:
    session, events = given(START, SEVERAL)
    assert types(events) == ["session_started", *["message_submitted"] * 3, "reply_requested"]
    assert session is not None
    assert [at for at, _ in session.branch_to(session.leaf_message_id)] == [MESSAGE, SECOND, FIRST]
    assert session.open_turn is not None
    assert session.open_turn.message_id == MESSAGE
    first = events[1].data
    assert isinstance(first, MessageSubmitted)
    assert first.content == seal(SESSION, events[1].id, "content", {"text": "one"})
    assert [node.tokens for node in session.messages.values()] == [1, None, 3]


def test_the_first_preceding_message_follows_newest_parent_or_nothing() -> None:
    said_before, _ = given(START, SUBMIT, COMPLETE)
    several = replace(NEXT, preceding=PRECEDING)
    assert when(said_before, several)[0].parent_message_id == REPLY
    edit = replace(several, parent_message_id=MESSAGE)
    assert when(said_before, edit)[0].parent_message_id == MESSAGE
    assert when(said_before, replace(several, as_root=True))[0].parent_message_id is None


def test_preceding_messages_need_unused_ids_and_no_open_turn() -> None:
    session, _ = given(START)
    for preceding in ([*PRECEDING, PRECEDING[0]], [UserMessage(MESSAGE, "one")]):
        with pytest.raises(IdTaken):
            when(session, replace(SUBMIT, preceding=preceding))
    session, _ = given(START, SUBMIT)
    with pytest.raises(TurnOpen):
        when(session, replace(NEXT, preceding=PRECEDING))


@pytest.mark.parametrize("command", [COMPLETE, FAIL])
def test_the_end_of_a_turn_names_the_model_that_replied(command: Any) -> None:
    session, _ = given(START, SUBMIT)
    assert when(session, command, PARLEY)[0].model == "demo"
    answered = replace(command, model="fallback")
    assert when(session, answered, PARLEY)[0].model == "fallback"
    session, _ = given(START, SUBMIT, RequestCancel(TURN))
    [cancelled] = when(session, answered, PARLEY)
    assert isinstance(cancelled, ReplyCancelled)
    assert cancelled.model == "fallback"


def test_an_unclaimed_turn_is_cancelled_and_ends_in_one_append() -> None:
    session, events = given(START, SUBMIT, RequestCancel(TURN, unclaimed=True))
    assert types(events[-2:]) == ["cancel_requested", "reply_cancelled"]
    ended = events[-1].data
    assert isinstance(ended, ReplyCancelled)
    assert (ended.cancelled_by, ended.model, ended.usage) == (ADA.actor, "demo", None)
    assert ended.partial_content is None
    assert session is not None
    assert (session.open_turn, session.ended_turns[TURN]) == (None, "cancelled")
    assert when(session, RequestCancel(TURN, unclaimed=True)) == []


def test_an_earlier_cancel_ends_a_turn_without_a_runner() -> None:
    session, _ = given(START, SUBMIT, RequestCancel(TURN))
    [ended] = when(session, RequestCancel(TURN, unclaimed=True))
    assert isinstance(ended, ReplyCancelled)


def test_the_newest_turn_is_the_open_one_or_the_last_ended_one() -> None:
    repeated = RegenerateReply(None, UUID(int=21), UUID(int=22), "demo")
    for commands, newest in (
        ([START], None),
        ([START, SUBMIT], TURN),
        ([START, SUBMIT, COMPLETE], TURN),
        ([START, SUBMIT, COMPLETE, repeated], repeated.turn_id),
        (
            [
                START,
                SUBMIT,
                COMPLETE,
                repeated,
                replace(FAIL, turn_id=repeated.turn_id),
            ],
            repeated.turn_id,
        ),
    ):
        session, _ = given(*commands)
        assert session is not None
        assert session.newest_turn_id == newest
