"""What is changed of a session as a whole, as rules."""

from dataclasses import replace
from datetime import timedelta

import pytest
from session_support.deciding import (
    ADA,
    MALLORY,
    NOON,
    OTHER_TENANT,
    PARLEY,
    SESSION,
    START,
    SUBMIT,
    given,
    seal,
    types,
    when,
)

from parley_events.session import SessionRenamed
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
from parley_session.domain.session.decide import decide
from parley_session.domain.session.errors import SessionNotFound
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.domain.session.state import Session

OWNERS: list[Change] = [RenameSession("Other"), ChangeMetadata({"a": "b"}), SetArchived(True)]
UNTITLED = replace(START, title=None)
SUGGEST = SuggestTitle("About greetings", "demo")


def changed(*changes: Change) -> Session:
    session, _ = given(START, ChangeSession(changes))
    assert session is not None
    return session


def test_changes_are_made_in_one_append() -> None:
    session, _ = given(START)
    events = decide(session, ChangeSession([*OWNERS, SetLegalHold(True)]), ADA, seal)
    assert types(events) == [
        "session_renamed",
        "session_metadata_changed",
        "session_archived",
        "legal_hold_placed",
    ]


def test_the_newest_title_and_metadata_are_remembered_by_their_events() -> None:
    session = changed(RenameSession("Other"), ChangeMetadata({}))
    assert (session.title_sequence, session.metadata_sequence) == (2, 3)


def test_a_title_is_taken_away() -> None:
    assert changed(RenameSession(None)).title_sequence is None
    session, _ = given(UNTITLED)
    assert when(session, ChangeSession([RenameSession(None)])) == []


def test_a_title_is_sealed_for_the_event_that_carries_it() -> None:
    session, _ = given(START)
    [event] = decide(session, ChangeSession([RenameSession("Other")]), ADA, seal)
    assert isinstance(event.data, SessionRenamed)
    assert event.data.title == seal(SESSION, event.id, "title", {"text": "Other"})


@pytest.mark.parametrize("kind", [SetArchived, SetLegalHold])
def test_what_is_so_already_changes_nothing(kind: type[SetArchived | SetLegalHold]) -> None:
    session, _ = given(START)
    assert when(session, ChangeSession([kind(False)])) == []
    session, _ = given(START, ChangeSession([kind(True)]))
    assert when(session, ChangeSession([kind(True)])) == []
    assert len(when(session, ChangeSession([kind(False)]))) == 1


@pytest.mark.parametrize("stranger", [MALLORY, OTHER_TENANT])
@pytest.mark.parametrize("change", OWNERS)
def test_what_is_the_owners_is_changed_by_nobody_else(
    change: Change, stranger: CommandMetadata
) -> None:
    session, _ = given(START)
    for changes in ([change], [SetLegalHold(True), change]):
        with pytest.raises(SessionNotFound):
            when(session, ChangeSession(changes), stranger)


def test_a_legal_hold_is_placed_by_another_person_of_the_tenant_alone() -> None:
    session, _ = given(START)
    hold = ChangeSession([SetLegalHold(True)])
    assert len(when(session, hold, MALLORY)) == 1
    for seen, stranger in ((session, OTHER_TENANT), (None, MALLORY)):
        with pytest.raises(SessionNotFound):
            when(seen, hold, stranger)


def test_a_model_suggests_a_title_where_there_is_none() -> None:
    session, _ = given(UNTITLED, SUBMIT)
    [renamed] = when(session, SUGGEST, PARLEY)
    assert (renamed.suggested, renamed.model) == (True, "demo")
    session, _ = given(UNTITLED, SUGGEST)
    assert when(session, replace(SUGGEST, title="Another"), PARLEY) == []


@pytest.mark.parametrize("start", [START, replace(UNTITLED, expires_at=NOON + timedelta(days=1))])
def test_no_title_is_suggested_for_a_titled_or_temporary_session(start: StartSession) -> None:
    session, _ = given(start)
    assert when(session, SUGGEST, PARLEY) == []


def test_what_its_owner_named_meanwhile_is_not_renamed_by_a_model() -> None:
    session, _ = given(UNTITLED, ChangeSession([RenameSession("Mine")]))
    assert when(session, SUGGEST, PARLEY) == []
