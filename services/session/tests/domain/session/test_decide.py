from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from session_support.deciding import (
    ADA,
    COMPLETE,
    FAIL,
    MALLORY,
    MESSAGE,
    NEXT,
    NOON,
    OTHER_TENANT,
    REPLY,
    SESSION,
    START,
    SUBMIT,
    TURN,
    given,
    seal,
    types,
)

from parley_events.session import MessageSubmitted, ReplyCancelled, ReplyRequested
from parley_session.domain.session.commands import (
    Command,
    RequestCancel,
    SubmitMessage,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import (
    IdTaken,
    ParentNotFound,
    SessionIdUnavailable,
    SessionNotFound,
    TurnAlreadyEnded,
    TurnNotFound,
    TurnOpen,
)
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import BrokenStream, evolve, fold


def test_submit_adds_the_message_and_opens_its_turn_in_one_append() -> None:
    session, _ = given(START)
    events = decide(session, SUBMIT, ADA, seal)
    assert types(events) == ["message_submitted", "reply_requested"]
    requested = events[1].data
    assert isinstance(requested, ReplyRequested)
    assert (requested.turn_id, requested.parent_message_id) == (TURN, MESSAGE)


def test_text_is_sealed_for_the_event_that_carries_it() -> None:
    session, _ = given(START)
    event = decide(session, SUBMIT, ADA, seal)[0]
    assert isinstance(event.data, MessageSubmitted)
    assert event.data.content == seal(SESSION, event.id, "content", {"text": "hello"})


def test_sequences_are_contiguous_and_ids_increase() -> None:
    _, events = given(START, SUBMIT, COMPLETE, NEXT)
    assert [event.sequence for event in events] == list(range(1, 7))
    assert all(a.id < b.id for a, b in pairwise(events))


def test_ids_and_times_increase_when_the_clock_goes_back() -> None:
    session, events = given(START)
    earlier = replace(ADA, now=NOON - timedelta(hours=1))
    late = decide(session, SUBMIT, earlier, seal)[0]
    assert late.id > events[-1].id
    assert late.time == NOON


def test_next_message_follows_the_reply() -> None:
    _, events = given(START, SUBMIT, COMPLETE, NEXT)
    submitted = events[-2].data
    assert isinstance(submitted, MessageSubmitted)
    assert submitted.parent_message_id == REPLY


def test_an_edit_becomes_a_sibling_under_the_parent_it_names() -> None:
    session, _ = given(START, SUBMIT, COMPLETE, NEXT, replace(COMPLETE, turn_id=NEXT.turn_id))
    edit = SubmitMessage(
        UUID(int=22), UUID(int=23), UUID(int=24), "or?", "demo", parent_message_id=REPLY
    )
    submitted = decide(session, edit, ADA, seal)[0].data
    assert isinstance(submitted, MessageSubmitted)
    assert submitted.parent_message_id == REPLY


def test_a_parent_outside_the_session_is_rejected() -> None:
    session, _ = given(START)
    with pytest.raises(ParentNotFound):
        decide(session, replace(SUBMIT, parent_message_id=UUID(int=99)), ADA, seal)


def test_second_message_is_rejected_while_a_turn_is_open_and_names_the_turn() -> None:
    session, _ = given(START, SUBMIT)
    with pytest.raises(TurnOpen) as rejected:
        decide(session, NEXT, ADA, seal)
    assert rejected.value.turn_id == TURN


@pytest.mark.parametrize("field", ["message_id", "turn_id", "reply_id"])
def test_an_id_is_used_once_in_a_session(field: str) -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    with pytest.raises(IdTaken):
        decide(session, replace(NEXT, **{field: getattr(SUBMIT, field)}), ADA, seal)


@pytest.mark.parametrize("field", ["message_id", "turn_id"])
def test_message_turn_and_reply_have_different_ids(field: str) -> None:
    session, _ = given(START)
    with pytest.raises(IdTaken):
        decide(session, replace(SUBMIT, **dict[str, Any]({field: REPLY})), ADA, seal)


def test_a_session_starts_once() -> None:
    session, _ = given(START)
    with pytest.raises(SessionIdUnavailable):
        decide(session, START, ADA, seal)


@pytest.mark.parametrize("stranger", [MALLORY, OTHER_TENANT])
@pytest.mark.parametrize("command", [NEXT, RequestCancel(TURN)])
def test_a_session_of_somebody_else_looks_like_an_unknown_one(
    stranger: CommandMetadata, command: Command
) -> None:
    session, _ = given(START, SUBMIT)
    for seen in (session, None):
        with pytest.raises(SessionNotFound):
            decide(seen, command, stranger, seal)


@pytest.mark.parametrize(("first", "status"), [(COMPLETE, "completed"), (FAIL, "failed")])
@pytest.mark.parametrize("second", [COMPLETE, FAIL])
def test_a_second_end_of_a_turn_is_rejected_with_how_it_ended(
    first: Command, status: str, second: Command
) -> None:
    session, _ = given(START, SUBMIT, first)
    with pytest.raises(TurnAlreadyEnded) as rejected:
        decide(session, second, ADA, seal)
    assert rejected.value.status == status


@pytest.mark.parametrize("ending", [COMPLETE, FAIL])
def test_after_a_cancel_request_a_turn_ends_only_as_cancelled(ending: Command) -> None:
    session, events = given(START, SUBMIT, RequestCancel(TURN), ending)
    cancelled = events[-1].data
    assert isinstance(cancelled, ReplyCancelled)
    assert cancelled.cancelled_by == ADA.actor
    assert cancelled.partial_content is not None
    assert session is not None
    assert session.open_turn is None


@pytest.mark.parametrize("before", [[RequestCancel(TURN)], [COMPLETE]])
def test_repeated_and_late_cancels_change_nothing(before: list[Command]) -> None:
    session, _ = given(START, SUBMIT, *before)
    assert decide(session, RequestCancel(TURN), ADA, seal) == []


@pytest.mark.parametrize("command", [RequestCancel(TURN), COMPLETE, FAIL])
def test_a_turn_of_another_session_is_unknown(command: Command) -> None:
    session, _ = given(START)
    with pytest.raises(TurnNotFound):
        decide(session, command, ADA, seal)


def test_a_stream_with_a_gap_or_a_repeat_is_broken() -> None:
    session, events = given(START, SUBMIT)
    with pytest.raises(BrokenStream):
        fold([events[0], events[2]])
    assert session is not None
    with pytest.raises(BrokenStream):
        evolve(session, events[-1])
