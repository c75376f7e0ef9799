"""Discarded records: their effect on a batch, and their digest."""

from dataclasses import replace
from typing import Any

import pytest
from history_testing.read_model import branched, folded
from history_testing.stories import Story, chat

from parley_events.cloudevents import Record, encode
from parley_history.domain import batch as domain_batch
from parley_history.domain import fold
from parley_history.domain.batch import ALREADY_PARKED, FORKED, Batch, BatchState
from parley_history.domain.discarded_record import record_digest
from parley_history.domain.incoming_record import decode_incoming
from parley_history.domain.rows import SessionRow


def poisoned(record: Record) -> Record:
    return replace(record, value=b'{"content": ')


def batch_of(
    records: list[Record], *discarded: Record, max_deferred: int = 5, **state: Any
) -> Batch:
    digests = {
        record_digest(record): decode_incoming(3, 0, record).session_id for record in discarded
    }
    batch = Batch(BatchState(discarded=digests, **state), max_deferred)
    for offset, record in enumerate(records):
        batch.add(decode_incoming(3, offset, record))
    return batch


def test_a_discarded_record_fills_its_sequence_without_effect() -> None:
    story = chat(2)
    records = story.records
    records[3] = poisoned(records[3])
    batch = batch_of([*records, *records], records[3])
    assert (batch.dead_letters, batch.newly_deferred) == ([], [])
    assert batch.sessions == branched(story)
    lost = (story.id, story.data(3).reply_id)
    assert batch.messages == {
        key: row for key, row in folded(story).messages.items() if key != lost
    }


def test_an_early_discarded_record_is_deferred_even_beyond_the_limit() -> None:
    story = chat(2)
    records = story.records
    records[5] = poisoned(records[5])
    early = [records[0], *records[2:4], records[5], records[4]]
    batch = batch_of(early, records[5], max_deferred=2)
    assert [incoming.offset for incoming in batch.newly_deferred] == [1, 2, 3]
    # Only the record that was not discarded exceeded the limit.
    assert [letter.incoming.offset for letter in batch.newly_parked] == [4]

    deferred = {story.id: {6: decode_incoming(3, 1, records[5])}}
    batch = batch_of([*records[:5], records[6]], records[5], deferred=deferred)
    assert batch.replayed == [(story.id, 6)]
    assert batch.sessions[story.id].version == 7
    assert not batch.dead_letters


def test_a_discarded_repeat_fork_or_unreadable_record_changes_nothing() -> None:
    story = chat(1)
    repeat = poisoned(story.records[1])
    fork = encode(story.forked_event(3))
    unreadable = replace(story.records[3], headers=[("ce_sequence", b"\xff")])
    huge = replace(
        story.records[3],
        headers=[("ce_sequence", b"2147483648"), ("ce_id", str(story.id).encode())],
    )
    nobodys = Record(b"", [], b"")
    strange = [repeat, fork, unreadable, huge, nobodys]
    batch = batch_of([*story.records[:3], *strange, story.records[3]], *strange)
    assert (batch.sessions, batch.messages) == (
        folded(story).sessions,
        folded(story).messages,
    )
    assert (batch.dead_letters, batch.newly_deferred) == ([], [])


def test_a_discarded_fork_of_a_deferred_event_is_ignored() -> None:
    story = chat(1)
    fork = encode(story.forked_event(4))
    batch = batch_of([story.records[0], story.records[3], fork, *story.records[1:3]], fork)
    assert batch.sessions == folded(story).sessions


def test_a_discarded_record_of_a_parked_session_stays_a_dead_letter() -> None:
    story = chat(1)
    poison = poisoned(story.records[2])
    batch = batch_of([poison, story.records[3]], poison, parked=frozenset([story.id]))
    first, second = batch.dead_letters
    assert first.error.startswith("invalid data for its type")
    assert second.error == ALREADY_PARKED
    assert not batch.sessions


def test_a_session_with_a_discarded_start_never_exists() -> None:
    story = chat(1)
    deferred = {story.id: {2: decode_incoming(3, 1, story.records[1])}}
    batch = batch_of(story.records[:1], story.records[0], deferred=deferred)
    assert (batch.sessions, batch.dead_letters) == ({}, [])


def test_a_low_id_of_a_discarded_record_does_not_turn_repeats_into_forks() -> None:
    story = chat(1)
    headers = [
        (name, b"00000000-0000-7000-8000-000000000000" if name == "ce_id" else value)
        for name, value in story.records[2].headers
    ]
    poison = replace(story.records[2], headers=headers, value=b"")
    batch = batch_of([*story.records[:2], poison, story.records[1], story.records[3]], poison)
    assert FORKED not in [letter.error for letter in batch.dead_letters]
    assert batch.sessions[story.id].version == 4


def test_no_two_records_have_the_same_digest() -> None:
    key, name, value = b"k", "name", b"value"
    records = [
        Record(key, [(name, value)], b""),
        Record(key, [(name, value), ("", b"")], b""),
        Record(key, [("nam", b"e" + value)], b""),
        Record(key, [(name, b"")], value),
        Record(key, [], value),
        Record(key + value, [], b""),
        Record(b"", [], key + value),
        Record(key, [("a", b"1"), ("b", b"2")], b""),
        Record(key, [("b", b"2"), ("a", b"1")], b""),
    ]
    assert len(set(map(record_digest, records))) == len(records)
    assert record_digest(records[0]) == record_digest(Record(b"k", (("name", b"value"),), b""))


def test_an_unexpected_error_parks_only_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    evolve, story, other = fold.evolve, chat(2), chat(2)

    def evolve_with_a_fault(session: SessionRow | None, event: Any) -> Any:
        if event.id == story.events[4].id:
            raise KeyError("what was said")
        return evolve(session, event)

    monkeypatch.setattr(domain_batch, "evolve", evolve_with_a_fault)
    batch = batch_of([*story.records, *other.records])
    assert batch.newly_parked[0].error == "it cannot be applied: KeyError"
    assert [letter.incoming.offset for letter in batch.dead_letters] == [4, 5, 6]
    assert batch.sessions[story.id].version == 4
    assert batch.sessions[other.id] == folded(other).sessions[other.id]


def test_too_deeply_nested_json_parks_its_session() -> None:
    story = Story()
    story.add_unknown_event()
    deep = replace(story.records[1], value=b"[" * 100_000)
    batch = batch_of([story.records[0], deep])
    assert batch.newly_parked[0].error == "malformed: RecursionError"


def test_a_deferred_event_that_can_no_longer_be_decoded_parks_its_session() -> None:
    story = chat(1)
    deferred = {story.id: {3: decode_incoming(3, 70, poisoned(story.records[2]))}}
    batch = batch_of(story.records[:2], deferred=deferred)
    assert [letter.incoming.offset for letter in batch.newly_parked] == [70]
    assert batch.replayed == [(story.id, 3)]
