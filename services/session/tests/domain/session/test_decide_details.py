"""Decisions on title, metadata, archive and legal hold."""

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


def test_all_changes_are_in_one_append() -> None:
    session, _ = given(START)
    events = decide(session, ChangeSession([*OWNERS, SetLegalHold(True)]), ADA, seal)
    assert types(events) == [
        "session_renamed",
        "session_metadata_changed",
        "session_archived",
        "legal_hold_placed",
    ]


def test_the_state_refers_to_the_events_of_title_and_metadata() -> None:
    session = changed(RenameSession("Other"), ChangeMetadata({}))
    assert (session.title_sequence, session.metadata_sequence) == (2, 3)


def test_a_null_title_removes_the_title() -> None:
    assert changed(RenameSession(None)).title_sequence is None
    session, _ = given(UNTITLED)
    assert when(session, ChangeSession([RenameSession(None)])) == []


def test_a_title_is_sealed_for_the_event_that_carries_it() -> None:
    session, _ = given(START)
    [event] = decide(session, ChangeSession([RenameSession("Other")]), ADA, seal)
    assert isinstance(event.data, SessionRenamed)
    assert event.data.title == seal(SESSION, event.id, "title", {"text": "Other"})


@pytest.mark.parametrize("kind", [SetArchived, SetLegalHold])
def test_values_that_are_set_already_append_nothing(kind: type[SetArchived | SetLegalHold]) -> None:
    session, _ = given(START)
    assert when(session, ChangeSession([kind(False)])) == []
    session, _ = given(START, ChangeSession([kind(True)]))
    assert when(session, ChangeSession([kind(True)])) == []
    assert len(when(session, ChangeSession([kind(False)]))) == 1


@pytest.mark.parametrize("stranger", [MALLORY, OTHER_TENANT])
@pytest.mark.parametrize("change", OWNERS)
def test_only_the_owner_changes_details(change: Change, stranger: CommandMetadata) -> None:
    session, _ = given(START)
    for changes in ([change], [SetLegalHold(True), change]):
        with pytest.raises(SessionNotFound):
            when(session, ChangeSession(changes), stranger)


def test_only_a_person_of_the_tenant_places_a_legal_hold() -> None:
    session, _ = given(START)
    hold = ChangeSession([SetLegalHold(True)])
    assert len(when(session, hold, MALLORY)) == 1
    for seen, stranger in ((session, OTHER_TENANT), (None, MALLORY)):
        with pytest.raises(SessionNotFound):
            when(seen, hold, stranger)


def test_a_suggested_title_is_set_if_there_is_none() -> None:
    session, _ = given(UNTITLED, SUBMIT)
    [renamed] = when(session, SUGGEST, PARLEY)
    assert (renamed.suggested, renamed.model) == (True, "demo")
    session, _ = given(UNTITLED, SUGGEST)
    assert when(session, replace(SUGGEST, title="Another"), PARLEY) == []


@pytest.mark.parametrize("start", [START, replace(UNTITLED, expires_at=NOON + timedelta(days=1))])
def test_no_title_is_suggested_for_a_titled_or_temporary_session(start: StartSession) -> None:
    session, _ = given(start)
    assert when(session, SUGGEST, PARLEY) == []


def test_a_suggested_title_does_not_replace_the_owners() -> None:
    session, _ = given(UNTITLED, ChangeSession([RenameSession("Mine")]))
    assert when(session, SUGGEST, PARLEY) == []
