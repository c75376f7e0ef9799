"""Planning a recovery, without databases."""

from uuid import uuid4

import pytest
from session_support.conversation import Conversation

from parley_events.cloudevents import Record
from parley_session.operations.log.reconcile_plan import (
    LogOnlyEvent,
    RecoveryPlan,
    earlier_parent_messages,
    is_contiguous,
    plan_recovery,
    split_at_turn_changes,
)

OTHER = uuid4()


def record(sequence: int) -> Record:
    return Record(b"", [], str(sequence).encode())


def logged(*sequences: int) -> list[LogOnlyEvent]:
    return [LogOnlyEvent(sequence, record(sequence), None) for sequence in sequences]


@pytest.mark.parametrize(
    ("unmatched", "planned"),
    [
        (logged(4, 5), RecoveryPlan([record(4), record(5)])),
        # Repeats of planned events, and of events stored meanwhile.
        (logged(3, 4, 5, 4, 5), RecoveryPlan([record(4), record(5)])),
        (logged(4, 6, 7), RecoveryPlan([record(4)], gap_before=6)),
        (logged(9), RecoveryPlan([], gap_before=9)),
        ([LogOnlyEvent(3, record(3), OTHER), *logged(4)], RecoveryPlan(forks_at=3)),
        # Nothing is imported of a forked session, although its first events would fit.
        ([*logged(4), LogOnlyEvent(2, record(2), OTHER)], RecoveryPlan(forks_at=2)),
        ([], RecoveryPlan([])),
    ],
)
def test_events_that_continue_the_store_are_planned(unmatched, planned) -> None:  # type: ignore[no-untyped-def]
    assert plan_recovery(3, unmatched) == planned


def test_a_batch_changes_at_most_one_turn() -> None:
    conversation = Conversation()
    for _ in range(2):
        conversation.ask("Hello?")
        conversation.reply("Hi.")
    values = [str(event.sequence).encode() for event in conversation.events]
    cut = [
        ([event.sequence for event in some], [int(value) for value in of_them])
        for some, of_them in split_at_turn_changes(conversation.events, values)
    ]
    assert cut == [(s, s) for s in ([1, 2, 3], [4], [5, 6], [7])]


def test_events_are_contiguous_only_after_a_matching_state() -> None:
    conversation = Conversation()
    message_id = conversation.ask("Hello?")
    started, asked, requested = conversation.events
    assert is_contiguous(0, [started, asked, requested], {})
    assert not is_contiguous(1, [started, asked, requested], {})
    assert not is_contiguous(0, [asked, requested], {})
    assert earlier_parent_messages([asked, requested]) == set()
    assert earlier_parent_messages([requested]) == {message_id}
    assert is_contiguous(2, [requested], {message_id})
    assert not is_contiguous(2, [requested], {})
