"""Decisions on deleting, restoring and erasing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from session_support.deciding import (
    ADA,
    COMPLETE,
    MALLORY,
    MESSAGE,
    NEXT,
    NOON,
    OTHER_TENANT,
    PARLEY,
    START,
    SUBMIT,
    TURN,
    given,
    seal,
    types,
    when,
)

from parley_events.session import ReplyCancelled, SessionDeleted, SessionErased
from parley_session.domain.session.commands import (
    ChangeSession,
    Command,
    CompactContext,
    DeleteSession,
    EraseReason,
    EraseSession,
    ImportMessages,
    RegenerateReply,
    RenameSession,
    RequestCancel,
    RestoreSession,
    SetLegalHold,
    SuggestTitle,
)
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import LegalHold, NotDeleted, SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import BrokenStream, fold

DAY = timedelta(days=1)
DELETE, LATER, RESTORE = DeleteSession(), DeleteSession(NOON + DAY), RestoreSession()
ERASE = EraseSession("operator")
HOLD = ChangeSession([SetLegalHold(True)])
RENAME = ChangeSession([RenameSession("Other")])
EVERYTHING_ELSE: list[Command] = [
    NEXT,
    COMPLETE,
    RequestCancel(TURN),
    RegenerateReply(MESSAGE, NEXT.turn_id, NEXT.reply_id, "demo"),
    ImportMessages([]),
    RENAME,
    SuggestTitle("Title", "demo"),
    CompactContext(MESSAGE, "short", "demo"),
]


def test_deleting_without_a_window_erases_at_once() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    [erased] = when(session, DELETE)
    assert isinstance(erased, SessionErased)
    assert erased.reason == "requested"


def test_deleting_with_a_window_sets_its_end() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    [deleted] = when(session, LATER)
    assert isinstance(deleted, SessionDeleted)
    assert deleted.erase_at == NOON + DAY


@pytest.mark.parametrize("ending", [DELETE, LATER, ERASE])
def test_deletion_cancels_an_open_turn_in_the_same_append(ending: Command) -> None:
    session, _ = given(START, SUBMIT)
    cancelled, _ = when(session, ending)
    assert isinstance(cancelled, ReplyCancelled)
    assert (cancelled.turn_id, cancelled.partial_content) == (TURN, None)
    after = fold(decide(session, ending, ADA, seal), session)
    assert after is not None
    assert (after.open_turn, after.ended_turns) == (None, {TURN: "cancelled"})


@pytest.mark.parametrize("delete", [DELETE, LATER])
def test_a_repeated_deletion_changes_nothing(delete: Command) -> None:
    session, _ = given(START, LATER)
    assert when(session, delete) == []


@pytest.mark.parametrize("ending", [DELETE, LATER, ERASE])
def test_a_session_under_a_legal_hold_is_neither_deleted_nor_erased(ending: Command) -> None:
    session, _ = given(START, SUBMIT, HOLD)
    with pytest.raises(LegalHold):
        when(session, ending)


def test_a_hold_placed_in_the_window_prevents_erasure_until_lifted() -> None:
    session, _ = given(START, LATER, HOLD)
    due = replace(PARLEY, now=NOON + DAY)
    with pytest.raises(LegalHold):
        when(session, EraseSession("deleted"), due)
    session, _ = given(START, LATER, HOLD, ChangeSession([SetLegalHold(False)]))
    assert len(when(session, EraseSession("deleted"), due)) == 1


@pytest.mark.parametrize("stranger", [MALLORY, OTHER_TENANT])
@pytest.mark.parametrize("command", [DELETE, LATER, RESTORE])
def test_only_the_owner_deletes_and_restores(stranger: CommandMetadata, command: Command) -> None:
    session, _ = given(START, LATER)
    with pytest.raises(SessionNotFound):
        when(session, command, stranger)


@pytest.mark.parametrize("command", EVERYTHING_ELSE)
@pytest.mark.parametrize("end", [LATER, ERASE])
def test_an_erased_session_looks_like_an_unknown_one(command: Command, end: Command) -> None:
    session, _ = given(START, SUBMIT, end)
    with pytest.raises(SessionNotFound):
        when(session, command)


@pytest.mark.parametrize("command", [DELETE, LATER, RESTORE, ERASE, HOLD])
def test_an_erased_session_accepts_no_command(command: Command) -> None:
    session, _ = given(START, ERASE)
    with pytest.raises(SessionNotFound):
        when(session, command)


def test_nothing_follows_an_erasure() -> None:
    _, events = given(START, ERASE)
    late = replace(events[-1], sequence=events[-1].sequence + 1)
    with pytest.raises(BrokenStream):
        fold([*events, late])


def test_a_restored_session_accepts_commands() -> None:
    session, events = given(START, SUBMIT, COMPLETE, LATER, RESTORE, NEXT)
    assert types(events[5:]) == ["session_restored", "message_submitted", "reply_requested"]
    assert session is not None
    assert not session.deleted


def test_only_a_deleted_session_is_restored() -> None:
    session, _ = given(START)
    with pytest.raises(NotDeleted):
        when(session, RESTORE)


@pytest.mark.parametrize("after", [timedelta(0), timedelta(days=3)])
def test_a_temporary_session_is_erased_after_it_expired(after: timedelta) -> None:
    session, _ = given(replace(START, expires_at=NOON + DAY))
    assert when(session, EraseSession("expired"), PARLEY) == []
    [erased] = when(session, EraseSession("expired"), replace(PARLEY, now=NOON + DAY + after))
    assert erased.reason == "expired"


def test_a_deleted_temporary_session_has_no_undelete_window() -> None:
    session, _ = given(replace(START, expires_at=NOON + DAY))
    [erased] = when(session, LATER)
    assert isinstance(erased, SessionErased)


@pytest.mark.parametrize("reason", ["deleted", "expired"])
def test_a_session_restored_meanwhile_is_not_erased(reason: EraseReason) -> None:
    session, _ = given(START, LATER, RESTORE)
    assert when(session, EraseSession(reason), replace(PARLEY, now=NOON + 2 * DAY)) == []


def test_a_deleted_session_is_not_erased_before_its_window_ends() -> None:
    session, _ = given(START, LATER)
    assert when(session, EraseSession("deleted"), PARLEY) == []


def test_a_session_that_changed_since_it_was_selected_is_not_erased() -> None:
    session, _ = given(START, SUBMIT, COMPLETE)
    assert when(session, EraseSession("idle", NOON - DAY), PARLEY) == []
    [erased] = when(session, EraseSession("idle", NOON), PARLEY)
    assert erased.reason == "idle"
