"""A record that was discarded: what it still does to a batch, and how it is recognised."""

from dataclasses import replace

from history_peers.read_model import branched, folded
from history_peers.stories import Story, chat

from parley_events.cloudevents import Record, encode
from parley_history.domain import batch as domain_batch
from parley_history.domain.batch import FORKED, PARKED_BEFORE, Batch, BatchState
from parley_history.domain.discarded_record import record_digest
from parley_history.domain.incoming_record import arrival_of


def poisoned(record: Record) -> Record:
    return replace(record, value=b'{"content": ')


def taken(records: list[Record], *discarded: Record, most_held: int = 5, **known) -> Batch:
    arrivals = [arrival_of(3, 0, record) for record in discarded]
    digests = {record_digest(arrival.record): arrival.session_id for arrival in arrivals}
    batch = Batch(BatchState(discarded=digests, **known), most_held)
    for offset, record in enumerate(records):
        batch.take(arrival_of(3, offset, record))
    return batch


def test_a_discarded_record_fills_its_place_without_effect():
    story = chat(2)
    records = story.records
    records[3] = poisoned(records[3])
    batch = taken([*records, *records], records[3])
    assert (batch.dead_letters, batch.newly_held) == ([], [])
    assert batch.sessions == branched(story)
    lost = (story.id, story.events[3].data.reply_id)
    assert batch.messages == {
        place: row for place, row in folded(story).messages.items() if place != lost
    }


def test_a_discarded_record_that_comes_early_is_held_even_where_no_other_would_be():
    story = chat(2)
    records = story.records
    records[5] = poisoned(records[5])
    early = [records[0], *records[2:4], records[5], records[4]]
    batch = taken(early, records[5], most_held=2)
    assert [arrival.offset for arrival in batch.newly_held] == [1, 2, 3]
    # Only the one that was not discarded went over the limit.
    assert [letter.arrival.offset for letter in batch.newly_parked] == [4]

    held = {story.id: {6: arrival_of(3, 1, records[5])}}
    batch = taken([*records[:5], records[6]], records[5], held=held)
    assert batch.released == [(story.id, 6)]
    assert batch.sessions[story.id].version == 7
    assert not batch.dead_letters


def test_a_discarded_repeat_fork_or_unreadable_record_changes_nothing():
    story = chat(1)
    repeat = poisoned(story.records[1])
    fork = encode(story.forked(3))
    unreadable = replace(story.records[3], headers=[("ce_sequence", b"\xff")])
    huge = replace(
        story.records[3],
        headers=[("ce_sequence", b"2147483648"), ("ce_id", str(story.id).encode())],
    )
    nobodys = Record(b"", [], b"")
    strange = [repeat, fork, unreadable, huge, nobodys]
    batch = taken([*story.records[:3], *strange, story.records[3]], *strange)
    assert (batch.sessions, batch.messages) == (
        folded(story).sessions,
        folded(story).messages,
    )
    assert (batch.dead_letters, batch.newly_held) == ([], [])


def test_a_fork_of_a_held_event_that_was_discarded_gives_way():
    story = chat(1)
    fork = encode(story.forked(4))
    batch = taken([story.records[0], story.records[3], fork, *story.records[1:3]], fork)
    assert batch.sessions == folded(story).sessions


def test_while_its_session_is_parked_a_discarded_record_is_kept_in_its_place():
    story = chat(1)
    poison = poisoned(story.records[2])
    batch = taken([poison, story.records[3]], poison, parked=frozenset([story.id]))
    first, second = batch.dead_letters
    assert first.error.startswith("invalid data for its type")
    assert second.error == PARKED_BEFORE
    assert not batch.sessions


def test_a_session_whose_start_was_discarded_never_begins():
    story = chat(1)
    held = {story.id: {2: arrival_of(3, 1, story.records[1])}}
    batch = taken(story.records[:1], story.records[0], held=held)
    assert (batch.sessions, batch.dead_letters) == ({}, [])


def test_an_earlier_event_that_comes_again_is_no_fork_for_the_id_of_a_discarded_one():
    story = chat(1)
    headers = [
        (name, b"00000000-0000-7000-8000-000000000000" if name == "ce_id" else value)
        for name, value in story.records[2].headers
    ]
    poison = replace(story.records[2], headers=headers, value=b"")
    batch = taken([*story.records[:2], poison, story.records[1], story.records[3]], poison)
    assert FORKED not in [letter.error for letter in batch.dead_letters]
    assert batch.sessions[story.id].version == 4


def test_no_two_records_have_the_same_digest():
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


def test_an_error_that_nobody_foresaw_parks_its_session_alone(monkeypatch):
    evolve, story, other = domain_batch.evolve, chat(2), chat(2)

    def evolve_with_a_fault(session, event):
        if event.id == story.events[4].id:
            raise KeyError("what was said")
        return evolve(session, event)

    monkeypatch.setattr(domain_batch, "evolve", evolve_with_a_fault)
    batch = taken([*story.records, *other.records])
    assert batch.newly_parked[0].error == "it cannot be applied: KeyError"
    assert [letter.arrival.offset for letter in batch.dead_letters] == [4, 5, 6]
    assert batch.sessions[story.id].version == 4
    assert batch.sessions[other.id] == folded(other).sessions[other.id]


def test_json_that_is_too_deep_parks_its_session():
    story = Story()
    story.does_something_new()
    deep = replace(story.records[1], value=b"[" * 100_000)
    batch = taken([story.records[0], deep])
    assert batch.newly_parked[0].error == "malformed: RecursionError"


def test_a_held_event_that_can_no_longer_be_decoded_parks_its_session():
    story = chat(1)
    held = {story.id: {3: arrival_of(3, 70, poisoned(story.records[2]))}}
    batch = taken(story.records[:2], held=held)
    assert [letter.arrival.offset for letter in batch.newly_parked] == [70]
    assert batch.released == [(story.id, 3)]
