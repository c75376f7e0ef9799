"""Comparing store and log, without databases."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from session_support.conversation import Conversation

from parley_events.cloudevents import Record, UndecodableRecord, encode
from parley_session.operations.difference_list import MAX_SHOWN, DifferenceList
from parley_session.operations.first_appearances import (
    Appearance,
    FirstAppearances,
    stream_position,
)
from parley_session.operations.log.log_comparison import LogComparison, StoredStream

SESSION = uuid4()


def records(turns: int = 1) -> tuple[UUID, list[Record]]:
    conversation = Conversation()
    for _ in range(turns):
        conversation.ask("Hello?")
        conversation.reply("Hi.")
    return conversation.session.id, [encode(event) for event in conversation.events]


def compared(
    session_id: UUID,
    in_log: list[tuple[int, Record]],
    stored: list[Record],
    first_queued: int | None = None,
) -> LogComparison:
    comparison = LogComparison()
    comparison.expect(
        StoredStream(session_id, len(stored), len(stored), len(stored), first_queued=first_queued)
    )
    for sequence, record in in_log:
        found = stored[sequence - 1] if sequence <= len(stored) else None
        comparison.compare(session_id, sequence, record, found)
    comparison.finish()
    return comparison


def test_repeats_are_no_difference() -> None:
    session_id, all_of_them = records()
    numbered = [*enumerate(all_of_them, start=1)]
    once = compared(session_id, numbered, all_of_them)
    repeated = compared(session_id, numbered[:3] + numbered, all_of_them)
    assert once.differences.count == repeated.differences.count == 0
    assert (
        repeated.sessions,
        repeated.published,
        repeated.events,
        repeated.repeats,
    ) == (1, 4, 4, 3)
    assert once.checksum == repeated.checksum != 0


def test_only_pending_events_may_be_missing_from_the_log() -> None:
    session_id, all_of_them = records()
    numbered = [*enumerate(all_of_them, start=1)]
    assert not compared(session_id, numbered[:2], all_of_them, first_queued=3).differences.count
    short = compared(session_id, numbered[:1], all_of_them, first_queued=3)
    assert short.differences.shown == [
        f"Event 2 of session {session_id} is in the store, but neither in the outbox nor "
        "in the log."
    ]


def test_an_event_out_of_order_is_reported_once_per_session() -> None:
    session_id, all_of_them = records(turns=2)
    numbered = [*enumerate(all_of_them, start=1)]
    in_log = [numbered[0], *numbered[2:], *numbered]
    assert compared(session_id, in_log, all_of_them).differences.shown == [
        f"Event 3 of session {session_id} appears in the log before event 2."
    ]


def test_an_event_that_only_the_log_has_is_reported() -> None:
    session_id, all_of_them = records()
    in_log = [*enumerate(all_of_them, start=1)]
    assert compared(session_id, in_log, all_of_them[:3]).differences.shown == [
        f"Event 4 of session {session_id} is in the log, but not in the store."
    ]


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        (lambda r: replace(r, value=b"{}"), "value"),
        (lambda r: replace(r, key=b"x"), "key"),
        (
            lambda r: replace(r, headers=[(n, b"x" if n == "ce_id" else t) for n, t in r.headers]),
            "ce_id",
        ),
        (lambda r: replace(r, headers=[*r.headers, ("traceparent", b"x")]), "traceparent"),
        (lambda r: replace(r, headers=[*r.headers][::-1]), "order of headers"),
    ],
)
def test_a_differing_repeat_is_reported_with_the_differing_parts(changed, part) -> None:  # type: ignore[no-untyped-def]
    session_id, all_of_them = records()
    in_log = [*enumerate(all_of_them, start=1), (2, changed(all_of_them[1]))]
    assert compared(session_id, in_log, all_of_them).differences.shown == [
        f"Event 2 of session {session_id} differs between log and store: {part}."
    ]


def test_each_change_changes_the_checksum() -> None:
    session_id, all_of_them = records()
    numbered = [*enumerate(all_of_them, start=1)]
    other = [*numbered[:3], (4, replace(numbered[3][1], value=b"{}"))]
    sums = {
        compared(session_id, in_log, all_of_them).checksum
        for in_log in (numbered, numbered[:3], other)
    }
    assert len(sums) == 3


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (
            StoredStream(SESSION, 3, 2, 3),
            f"Session {SESSION} is at version 3 in the store, but has 2 events with 3 as the "
            "last sequence.",
        ),
        (
            StoredStream(SESSION, 2, 3, 3),
            f"Session {SESSION} is at version 2 in the store, but has 3 events with 3 as the "
            "last sequence.",
        ),
        (
            StoredStream(SESSION, None, 3, 3),
            f"Session {SESSION} has events in the store, but no row.",
        ),
        (
            StoredStream(SESSION, 3, 3, 3, not_later=2),
            f"Event 2 of session {SESSION} has an id or a time in the store that is not later "
            "than that of the previous event.",
        ),
    ],
)
def test_an_inconsistent_store_is_reported(stream: StoredStream, sentence: str) -> None:
    comparison = LogComparison()
    comparison.expect(stream)
    assert comparison.differences.shown == [sentence]


def test_appearances_are_first_repeated_or_early_per_session() -> None:
    appearances, other = FirstAppearances(), uuid4()
    seen = [appearances.add(SESSION, sequence) for sequence in (1, 2, 2, 4, 3, 4, 1)]
    first, repeat, early = Appearance.FIRST, Appearance.REPEAT, Appearance.EARLY
    assert seen == [first, first, repeat, early, first, first, repeat]
    assert appearances.add(other, 2) is early
    assert dict(appearances) == {SESSION: 4}
    assert (appearances.last_contiguous(SESSION), appearances.last_contiguous(other)) == (4, 0)


@pytest.mark.parametrize(
    "record",
    [
        Record(str(SESSION).encode(), [], b""),
        Record(b"no uuid", [("ce_sequence", b"1")], b""),
        Record(b"\xff", [("ce_sequence", b"1")], b""),
        Record(str(SESSION).encode(), [("ce_sequence", b"0")], b""),
        Record(str(SESSION).encode(), [("ce_sequence", b"99999999999")], b""),
    ],
)
def test_a_record_without_a_position_is_undecodable(record: Record) -> None:
    with pytest.raises(UndecodableRecord):
        stream_position(record)


def test_all_differences_are_counted_and_the_first_ten_stored() -> None:
    differences = DifferenceList()
    for number in range(25):
        differences.add(str(number))
    assert differences.count == 25
    assert differences.shown == [str(number) for number in range(MAX_SHOWN)]
