"""The read model in Postgres: a batch and its positions are written together, or not at all."""

import asyncio
import random
from dataclasses import replace

import asyncpg
import pytest
from history_peers.read_model import LIMITS, PARTITION, Database, folded, project
from history_peers.stories import Story, chat, full, mixed

from parley_events.cloudevents import Record, encode
from parley_events.session import ReplyRequested
from parley_events.values import Usage
from parley_history.domain.incoming_record import arrival_of
from parley_history.projection.active_read_model import ReadModel
from parley_history.projection.batch_applier import PositionConflict, PositionUpdate
from parley_history.storage.projection_tables import MOVED_CHANNEL, moved_sessions


def cut(records: list[Record], chance: random.Random) -> list[list[Record]]:
    """The records in batches of any size, one record among them."""
    batches, rest = [], records
    while rest:
        size = chance.choice((1, 2, 3, 7, 40))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


@pytest.mark.parametrize("seed", range(4))
async def test_however_the_log_is_delivered_and_cut_the_rows_are_those_of_its_fold(
    read_model, tables, seed
):
    stories, chance = [chat(7), chat(4), Story(title="Words"), chat(1)], random.Random(seed)
    stories[1].does_something_new()
    stories += [full(), full()]
    stories[0].is_erased()
    stories[4].is_erased()
    records = mixed(stories, chance)
    delivery = [*records, *chance.choices(records, k=20)]
    near = sorted(range(len(delivery)), key=lambda i: i + chance.gauss(0, 2))
    for batch in cut([delivery[i] for i in near], chance):
        assert await project(read_model, batch) == []
    assert await tables.rows() == folded(*stories)
    assert await tables.held() == []
    assert await tables.positions() == {PARTITION: len(delivery)}


async def test_a_position_that_another_projector_moved_rolls_all_back(read_model, tables):
    zombie, story, other = read_model, chat(1), chat(1)
    await zombie.positions_of([PARTITION])
    faster = ReadModel(tables.dsn, LIMITS)
    await project(faster, story.records)
    await faster.close()
    with pytest.raises(PositionConflict):
        await zombie.project(
            [arrival_of(PARTITION, 0, other.records[0])], [PositionUpdate(PARTITION, 0, 1)]
        )
    assert await tables.rows() == folded(story)
    assert await tables.positions() == {PARTITION: story.version}
    assert await project(zombie, other.records) == []


async def test_of_two_projectors_of_the_same_records_one_writes(tables, read_model):
    stories = [chat(3) for _ in range(20)]
    records = mixed(stories, random.Random(2))
    arrivals = [arrival_of(PARTITION, i, record) for i, record in enumerate(records)]
    second = ReadModel(tables.dsn, LIMITS)
    await read_model.positions_of([PARTITION])
    both = [
        one.project(arrivals, [PositionUpdate(PARTITION, 0, len(records))])
        for one in (read_model, second)
    ]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {list, PositionConflict}
    assert await tables.rows() == folded(*stories)
    await second.close()


async def test_a_batch_that_fails_leaves_no_trace(read_model, tables):
    story = chat(2)
    await project(read_model, story.records[:3])
    await tables.connection.execute("ALTER TABLE messages RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await project(read_model, story.records[3:])
    await tables.connection.execute("ALTER TABLE away RENAME TO messages")
    assert await tables.positions() == {PARTITION: 3}
    assert await project(read_model, story.records[3:]) == []
    assert await tables.rows() == folded(story)


async def test_held_events_are_kept_with_the_batch_until_the_missing_one_comes(read_model, tables):
    story = chat(1)
    await project(read_model, [story.records[3], story.records[2], story.records[0]])
    assert await tables.versions([story]) == {story.id: 1}
    assert await tables.held() == [3, 4]
    await project(read_model, [story.records[1]])
    assert await tables.rows() == folded(story)
    assert await tables.held() == []


async def test_a_dead_letter_is_the_record_as_it_was_and_where(read_model, tables):
    story = chat(1)
    headers = [("ce_id", b"\xff\x00"), ("ce_id", b"twice"), ("na\x00me", b"")]
    poison = Record(story.records[0].key, headers, b"\x00poison")
    [parked] = await project(read_model, [poison])
    [letter] = await tables.dead_letters()
    assert (letter["session_id"], letter["partition"], letter["offset"]) == (story.id, PARTITION, 0)
    assert (letter["key"], letter["value"]) == (poison.key, b"\x00poison")
    assert letter["headers"] == '[["ce_id", "/wA="], ["ce_id", "dHdpY2U="], ["na\\u0000me", ""]]'
    assert letter["error"] == parked.error == "the header ce_type is missing"


async def test_a_parked_session_stays_parked_while_others_go_on(read_model, tables):
    parked, other = chat(2), chat(2)
    await project(read_model, parked.records[:3])
    await project(read_model, [replace(parked.records[3], value=b"")])
    await project(read_model, [*parked.records[3:], *other.records])
    rows = await tables.rows()
    assert rows.of(other) == folded(other)
    assert rows.sessions[parked.id].version == 3
    assert len(await tables.dead_letters()) == 1 + len(parked.records[3:])


def with_usage(story: Story, tokens: int) -> Record:
    event = story.events[-1]
    usage = Usage(prompt_tokens=tokens, completion_tokens=1)
    return encode(replace(event, data=event.data.model_copy(update={"usage": usage})))


def with_model(story: Story, model: str) -> Record:
    event = story.events[-1]
    return encode(replace(event, data=event.data.model_copy(update={"model": model})))


@pytest.mark.parametrize(
    "unstorable",
    [
        lambda story: with_usage(story, 2**31),
        lambda story: with_model(story, "mo\x00del"),
        lambda story: encode(replace(story.events[-1], sequence=2**31)),
        lambda story: encode(replace(story.events[-1], sequence=2**70)),
    ],
    ids=["a number over its type", "a NUL", "a sequence over its type", "one over all types"],
)
async def test_what_postgres_never_takes_parks_its_session_alone(read_model, tables, unstorable):
    story, before, after = chat(1), chat(2), chat(2)
    batch = [*before.records, *story.records[:-1], unstorable(story), *after.records]
    [letter] = await project(read_model, batch)
    assert letter.error.startswith("it cannot be stored: ")
    assert letter.arrival.offset == before.version + 3
    rows = await tables.rows()
    assert rows.of(before, after) == folded(before, after)
    assert rows.sessions[story.id].version == 3
    assert await tables.positions() == {PARTITION: len(batch)}
    await project(read_model, story.records)
    assert len(await tables.dead_letters()) == 1 + story.version


async def test_a_message_id_of_an_earlier_batch_parks_its_session(read_model, tables):
    story = chat(1)
    await project(read_model, story.records)
    again = replace(story.forked(5), data=story.events[1].data)
    [letter] = await project(read_model, [encode(again)])
    assert letter.error == "it cannot be stored: UniqueViolationError"
    assert await tables.rows() == folded(story)


async def test_a_message_keeps_its_first_turn_when_its_reply_is_made_again(read_model, tables):
    story = chat(1)
    first = story.events[2].data
    again = first.model_copy(update={"turn_id": story.id, "reply_id": story.id})
    assert isinstance(again, ReplyRequested)
    await project(read_model, story.records)
    await project(read_model, [encode(replace(story.forked(5), data=again))])
    message = (await tables.rows()).messages[story.id, first.parent_message_id]
    assert message.turn_id == first.turn_id


async def test_nothing_that_was_said_is_in_the_tables_in_clear(read_model, tables):
    story = Story(title="Xylophone lessons")
    story.says("xylophone question")
    story.hears("xylophone answer")
    story.says("another xylophone")
    story.fails("half a xylophone")
    poison = replace(story.records[-1], headers=story.records[-1].headers[1:])
    held = story.forked(story.version + 5)
    await project(read_model, [*story.records, encode(held), poison])
    assert len((await tables.rows()).messages) == 4
    everything = await tables.everything()
    assert b"xylophone" not in everything.lower()
    assert b"stalled" not in everything
    # What is not sealed would have been found.
    assert b"upstream_timeout" in everything


async def test_of_an_erased_session_nothing_is_left_but_its_tombstone(read_model, tables):
    story, other = full(), full()
    held = encode(story.forked(story.version + 5))
    await project(read_model, [*story.records, *other.records, held])
    assert await tables.held() == [story.version + 5]
    story.is_erased()
    await project(read_model, story.records[-1:])
    assert await tables.rows() == folded(story, other)
    assert await tables.held() == []
    sealed = [event.data.content for event in story.events if hasattr(event.data, "content")]
    everything = await tables.everything()
    assert len(sealed) > 5
    assert not [one for one in sealed if one in everything]
    await project(read_model, story.records)
    assert await tables.rows() == folded(story, other), "a late repeat resurrects nothing"
    assert await tables.dead_letters() == []


async def test_who_listens_is_told_which_sessions_moved_when_they_have(read_model, tables):
    told: list[str] = []
    await tables.connection.add_listener(MOVED_CHANNEL, lambda *call: told.append(call[-1]))
    stories = [chat(1) for _ in range(250)]
    await project(read_model, [record for story in stories for record in story.records])
    await tables.connection.execute("SELECT 1")
    assert {id for payload in told for id in moved_sessions(payload)} == {s.id for s in stories}
    assert len(told) == 3
    await project(read_model, stories[0].records)
    await tables.connection.execute("SELECT 1")
    assert len(told) == 3, "repeats move nothing"


async def test_positions_begin_at_the_beginning_and_are_kept(read_model, tables: Database):
    assert await read_model.positions_of([0, 5]) == {0: 0, 5: 0}
    await tables.connection.execute("UPDATE positions SET next = 9 WHERE partition = 5")
    assert await read_model.positions_of([0, 5, 7]) == {0: 0, 5: 9, 7: 0}
