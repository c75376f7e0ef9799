"""A batch collects the same changes in whatever order its records are delivered."""

import random
from dataclasses import replace

import pytest
from history_testing.completions import Completion
from history_testing.read_model import Rows, folded
from history_testing.stories import Story, chat, full, mixed

from parley_events.cloudevents import Record, encode
from parley_history.domain.batch import ALREADY_PARKED, FORKED, Batch, BatchState
from parley_history.domain.incoming_record import decode_incoming


def batch_of(
    records: list[Record], state: BatchState | None = None, max_deferred: int = 100
) -> Batch:
    batch = Batch(state or BatchState(), max_deferred)
    for offset, record in enumerate(records):
        batch.add(decode_incoming(3, offset, record))
    return batch


def rows_of(batch: Batch) -> Rows:
    return Rows(batch.sessions, dict(batch.messages), dict(batch.usage))


def test_events_in_order_become_the_rows_of_their_fold() -> None:
    stories = [chat(6), chat(6)]
    batch = batch_of(mixed(stories, random.Random(1)))
    assert rows_of(batch) == folded(*stories)
    assert (batch.newly_deferred, batch.dead_letters, batch.turn_links) == ([], [], [])


def test_a_batch_writes_only_the_tombstone_of_an_erased_session() -> None:
    erased, other = full(), chat(2)
    erased.erase()
    batch = batch_of(mixed([erased, other], random.Random(1)))
    assert rows_of(batch) == folded(erased, other)
    assert batch.erased == {erased.id}
    assert {session_id for session_id, _ in batch.messages} == {other.id}
    assert batch_of(other.records).erased == set()


def test_usage_is_counted_once_and_survives_erasure() -> None:
    erased, completion = full(), Completion()
    erased.erase()
    records = mixed([erased, completion], random.Random(1))
    batch = batch_of([*records, *records])
    assert rows_of(batch) == folded(erased, completion)
    assert {row.session_id for row in batch.usage.values()} == {erased.id, completion.id}


def test_usage_of_a_parked_record_is_not_counted() -> None:
    story = chat(1)
    again = encode(replace(story.events[3], id=story.forked_event(5).id, sequence=5))
    batch = batch_of([*story.records, again])
    assert len(batch.dead_letters) == 1
    assert rows_of(batch) == folded(story)


def test_repeats_do_not_restore_an_erased_session() -> None:
    erased = chat(2)
    erased.erase()
    tombstone = BatchState(sessions=folded(erased).sessions)
    batch = batch_of([*erased.records, *erased.records], tombstone)
    assert (batch.sessions, batch.messages, batch.dead_letters) == ({}, {}, [])


def test_deferred_events_of_an_erased_session_are_dropped() -> None:
    erased = chat(1)
    erased.erase()
    erased.add_unknown_event()
    erased.add_unknown_event()
    batch = batch_of([*erased.records[:4], erased.records[6], erased.records[4]])
    assert (batch.erased, batch.newly_deferred) == ({erased.id}, [])


def test_repeats_are_dropped() -> None:
    story = chat(3)
    first = story.records
    assert rows_of(batch_of(first[:5] + first[:5] + first[3:] + first)) == folded(story)


@pytest.mark.parametrize("seed", range(20))
def test_any_delivery_order_yields_the_same_rows(seed: int) -> None:
    stories, chance = [chat(4), chat(5), full(), full()], random.Random(seed)
    stories[1].erase()
    stories[2].erase()
    records = mixed(stories, chance)
    # Every record at least once, shuffled locally, so that events are deferred for a while.
    delivery = records + chance.choices(records, k=30)
    delivery = [
        delivery[i] for i in sorted(range(len(delivery)), key=lambda i: i + chance.gauss(0, 8))
    ]
    batch = batch_of(delivery)
    assert rows_of(batch) == folded(*stories)
    assert (batch.newly_deferred, batch.dead_letters) == ([], [])


def test_an_out_of_order_event_is_deferred_until_the_missing_one_arrives() -> None:
    story = chat(1)
    first, second, third, fourth = story.records
    batch = batch_of([first, fourth, third, fourth])
    assert batch.sessions[story.id].version == 1
    assert [incoming.offset for incoming in batch.newly_deferred] == [1, 2]
    assert rows_of(batch_of([first, fourth, third, second])) == folded(story)


def test_a_later_id_at_an_old_sequence_is_a_fork_and_parks_only_its_session() -> None:
    forked, other = chat(2), chat(2)
    records = [*forked.records, encode(forked.forked_event(3)), *forked.records, *other.records]
    batch = batch_of(records)
    assert [letter.error for letter in batch.newly_parked] == [FORKED]
    assert rows_of(batch) == folded(forked, other)


def test_a_fork_among_deferred_events_parks_the_session() -> None:
    story = chat(1)
    other = encode(replace(story.forked_event(4), id=story.events[2].id))
    batch = batch_of([story.records[0], story.records[3], other])
    assert [letter.error for letter in batch.newly_parked] == [FORKED]


def test_no_further_event_of_a_parked_session_is_applied() -> None:
    story = chat(2)
    poison = replace(story.records[1], value=b"{")
    batch = batch_of([story.records[0], poison, *story.records[1:]])
    [first, *others] = batch.dead_letters
    assert first.error.startswith("invalid data for its type")
    assert [letter.error for letter in others] == [ALREADY_PARKED] * (story.version - 1)
    assert batch.newly_parked == [first]
    assert batch.sessions[story.id].version == 1

    later = batch_of(story.records[1:], BatchState(parked=frozenset([story.id])))
    assert len(later.dead_letters) == story.version - 1
    assert not later.newly_parked
    assert not later.sessions


def test_a_record_without_a_session_parks_none() -> None:
    story = chat(1)
    strange = [Record(b"", [], b""), Record(b"\xff", [], b"x"), Record(b"{not-an-id}", [], b"")]
    braced = replace(story.records[0], key=f"{{{story.id}}}".encode())
    batch = batch_of([*strange, braced, *story.records])
    assert [letter.incoming.session_id for letter in batch.newly_parked] == [None] * 4
    assert rows_of(batch) == folded(story)


def test_a_session_without_its_start_event_is_parked() -> None:
    story = chat(1)
    impostor = replace(story.events[1], sequence=1)
    batch = batch_of([encode(impostor), *story.records])
    assert batch.newly_parked[0].error == "the first event of the session is not its start"
    assert len(batch.dead_letters) == 1 + story.version
    assert not batch.sessions


def test_a_repeated_message_id_parks_the_session() -> None:
    story = Story()
    story.submit("first")
    again = story.data(1)
    story.reply("answer")
    repeated = replace(story.forked_event(5), data=again)
    batch = batch_of([*story.records, encode(repeated)])
    assert batch.newly_parked[0].error == "the message id is already used"
    assert rows_of(batch) == folded(story)


def test_the_number_of_deferred_events_per_session_is_limited() -> None:
    story = chat(4)
    batch = batch_of([story.records[0], *story.records[2:8]], max_deferred=5)
    assert batch.newly_parked[0].error == "more than 5 events wait for a missing one"
    assert batch.newly_parked[0].incoming.offset == 6
    assert len(batch.newly_deferred) == 5


def test_an_inapplicable_deferred_event_is_parked_at_its_own_location() -> None:
    story = Story()
    story.submit("question")
    started_again = replace(story.events[0], sequence=3, id=story.events[2].id)
    records = [story.records[0], encode(started_again), story.records[1], story.records[2]]
    batch = batch_of(records)
    assert [letter.incoming.offset for letter in batch.dead_letters] == [1, 3]
    assert batch.newly_parked[0].error == "the session has already started"
    assert batch.sessions[story.id].version == 2
    assert not batch.newly_deferred


def test_stored_deferred_events_are_replayed() -> None:
    story = chat(1)
    state = BatchState(deferred={story.id: {3: decode_incoming(3, 70, story.records[2])}})
    batch = batch_of([story.records[3], *story.records[:2]], state)
    assert rows_of(batch) == folded(story)
    assert batch.replayed == [(story.id, 3)]
    assert not batch.newly_deferred
