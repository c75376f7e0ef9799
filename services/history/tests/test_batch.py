"""What a batch of arrivals changes, whatever order and number they come in."""

import random
from dataclasses import replace

import pytest
from history_peers.completions import Completion
from history_peers.read_model import Rows, folded
from history_peers.stories import Story, chat, full, mixed

from parley_events.cloudevents import Record, encode
from parley_history.domain.batch import FORKED, PARKED_BEFORE, Batch, BatchState
from parley_history.domain.incoming_record import arrival_of


def taken(records: list[Record], known: BatchState | None = None, most_held: int = 100) -> Batch:
    batch = Batch(known or BatchState(), most_held)
    for offset, record in enumerate(records):
        batch.take(arrival_of(3, offset, record))
    return batch


def rows_of(batch: Batch) -> Rows:
    return Rows(batch.sessions, batch.messages, dict(batch.usage))


def test_events_in_order_become_the_rows_of_their_fold():
    stories = [chat(6), chat(6)]
    batch = taken(mixed(stories, random.Random(1)))
    assert rows_of(batch) == folded(*stories)
    assert (batch.newly_held, batch.dead_letters, batch.turns) == ([], [], [])


def test_of_an_erased_session_a_batch_brings_the_tombstone_alone():
    erased, other = full(), chat(2)
    erased.is_erased()
    batch = taken(mixed([erased, other], random.Random(1)))
    assert rows_of(batch) == folded(erased, other)
    assert batch.erased == {erased.id}
    assert {session_id for session_id, _ in batch.messages} == {other.id}
    assert taken(other.records).erased == set()


def test_usage_is_counted_once_and_stays_when_its_session_is_erased():
    erased, completion = full(), Completion()
    erased.is_erased()
    records = mixed([erased, completion], random.Random(1))
    batch = taken([*records, *records])
    assert rows_of(batch) == folded(erased, completion)
    assert {row.session_id for row in batch.usage.values()} == {erased.id, completion.id}


def test_what_parks_its_session_is_not_counted():
    story = chat(1)
    again = encode(replace(story.events[3], id=story.forked(5).id, sequence=5))
    batch = taken([*story.records, again])
    assert len(batch.dead_letters) == 1
    assert rows_of(batch) == folded(story)


def test_repeats_of_an_erased_session_resurrect_nothing():
    erased = chat(2)
    erased.is_erased()
    tombstone = BatchState(sessions=folded(erased).sessions)
    batch = taken([*erased.records, *erased.records], tombstone)
    assert (batch.sessions, batch.messages, batch.dead_letters) == ({}, {}, [])


def test_what_was_held_of_an_erased_session_is_held_no_more():
    erased = chat(1)
    erased.is_erased()
    erased.does_something_new()
    erased.does_something_new()
    batch = taken([*erased.records[:4], erased.records[6], erased.records[4]])
    assert (batch.erased, batch.newly_held) == ({erased.id}, [])


def test_repeats_are_dropped():
    story = chat(3)
    first = story.records
    assert rows_of(taken(first[:5] + first[:5] + first[3:] + first)) == folded(story)


@pytest.mark.parametrize("seed", range(20))
def test_any_delivery_whose_first_appearances_may_be_apart_gives_the_same_rows(seed):
    stories, chance = [chat(4), chat(5), full(), full()], random.Random(seed)
    stories[1].is_erased()
    stories[2].is_erased()
    records = mixed(stories, chance)
    # Every record once or more, moved about: what is missing for a while is held.
    delivery = records + chance.choices(records, k=30)
    delivery = [
        delivery[i] for i in sorted(range(len(delivery)), key=lambda i: i + chance.gauss(0, 8))
    ]
    batch = taken(delivery)
    assert rows_of(batch) == folded(*stories)
    assert (batch.newly_held, batch.dead_letters) == ([], [])


def test_an_event_beyond_the_next_is_held_until_the_missing_one_comes():
    story = chat(1)
    first, second, third, fourth = story.records
    batch = taken([first, fourth, third, fourth])
    assert batch.sessions[story.id].version == 1
    assert [arrival.offset for arrival in batch.newly_held] == [1, 2]
    assert rows_of(taken([first, fourth, third, second])) == folded(story)


def test_a_later_id_at_an_old_sequence_is_a_fork_and_parks_the_session_alone():
    forked, other = chat(2), chat(2)
    records = [*forked.records, encode(forked.forked(3)), *forked.records, *other.records]
    batch = taken(records)
    assert [letter.error for letter in batch.newly_parked] == [FORKED]
    assert rows_of(batch) == folded(forked, other)


def test_a_fork_among_held_events_parks_the_session():
    story = chat(1)
    other = encode(replace(story.forked(4), id=story.events[2].id))
    batch = taken([story.records[0], story.records[3], other])
    assert [letter.error for letter in batch.newly_parked] == [FORKED]


def test_a_parked_session_takes_nothing_more():
    story = chat(2)
    poison = replace(story.records[1], value=b"{")
    batch = taken([story.records[0], poison, *story.records[1:]])
    [first, *others] = batch.dead_letters
    assert first.error.startswith("invalid data for its type")
    assert [letter.error for letter in others] == [PARKED_BEFORE] * (story.version - 1)
    assert batch.newly_parked == [first]
    assert batch.sessions[story.id].version == 1

    later = taken(story.records[1:], BatchState(parked=frozenset([story.id])))
    assert len(later.dead_letters) == story.version - 1
    assert not later.newly_parked
    assert not later.sessions


def test_a_record_that_names_no_session_parks_none():
    story = chat(1)
    strange = [Record(b"", [], b""), Record(b"\xff", [], b"x"), Record(b"{not-an-id}", [], b"")]
    braced = replace(story.records[0], key=f"{{{story.id}}}".encode())
    batch = taken([*strange, braced, *story.records])
    assert [letter.arrival.session_id for letter in batch.newly_parked] == [None] * 4
    assert rows_of(batch) == folded(story)


def test_a_session_that_does_not_begin_with_its_start_is_parked():
    story = chat(1)
    impostor = replace(story.events[1], sequence=1)
    batch = taken([encode(impostor), *story.records])
    assert batch.newly_parked[0].error == "the session does not begin with its start"
    assert len(batch.dead_letters) == 1 + story.version
    assert not batch.sessions


def test_a_message_id_that_comes_again_parks_the_session():
    story = Story()
    story.says("first")
    again = story.events[1].data
    story.hears("answer")
    repeated = replace(story.forked(5), data=again)
    batch = taken([*story.records, encode(repeated)])
    assert batch.newly_parked[0].error == "the id of the message was used before"
    assert rows_of(batch) == folded(story)


def test_of_one_session_only_so_many_events_are_held():
    story = chat(4)
    batch = taken([story.records[0], *story.records[2:8]], most_held=5)
    assert batch.newly_parked[0].error == "more than 5 events wait for one that is missing"
    assert batch.newly_parked[0].arrival.offset == 6
    assert len(batch.newly_held) == 5


def test_a_held_event_that_breaks_the_stream_parks_where_it_lies_in_the_log():
    story = Story()
    story.says("question")
    started_again = replace(story.events[0], sequence=3, id=story.events[2].id)
    records = [story.records[0], encode(started_again), story.records[1], story.records[2]]
    batch = taken(records)
    assert [letter.arrival.offset for letter in batch.dead_letters] == [1, 3]
    assert batch.newly_parked[0].error == "the session starts again"
    assert batch.sessions[story.id].version == 2
    assert not batch.newly_held


def test_what_was_held_before_is_released():
    story = chat(1)
    known = BatchState(held={story.id: {3: arrival_of(3, 70, story.records[2])}})
    batch = taken([story.records[3], *story.records[:2]], known)
    assert rows_of(batch) == folded(story)
    assert batch.released == [(story.id, 3)]
    assert not batch.newly_held
