"""The active read model in Postgres: a batch and its positions are written atomically."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from history_testing.read_model import MAX_DEFERRED, PARTITION, ReadModelTables, folded, project
from history_testing.stories import Story, chat, full, mixed

from parley_events.cloudevents import Record, encode
from parley_events.session import ReplyRequested
from parley_events.values import Usage
from parley_history.domain.incoming_record import decode_incoming
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.change_notifications import CHANNEL, changed_sessions
from parley_history.storage.positions import PositionConflict, PositionUpdate


def cut(records: list[Record], chance: random.Random) -> list[list[Record]]:
    """Split the records into batches of random sizes, including 1."""
    batches, rest = [], records
    while rest:
        size = chance.choice((1, 2, 3, 7, 40))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


@pytest.mark.parametrize("seed", range(4))
async def test_rows_equal_the_fold_for_any_delivery_and_batching(
    read_model: ActiveReadModel, tables: ReadModelTables, seed: int
) -> None:
    stories, chance = [chat(7), chat(4), Story(title="Words"), chat(1)], random.Random(seed)
    stories[1].add_unknown_event()
    stories += [full(), full()]
    stories[0].erase()
    stories[4].erase()
    records = mixed(stories, chance)
    delivery = [*records, *chance.choices(records, k=20)]
    near = sorted(range(len(delivery)), key=lambda i: i + chance.gauss(0, 2))
    for batch in cut([delivery[i] for i in near], chance):
        assert await project(read_model, batch) == []
    assert await tables.rows() == folded(*stories)
    assert await tables.deferred() == []
    assert await tables.positions() == {PARTITION: len(delivery)}


async def test_a_position_conflict_rolls_the_batch_back(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    zombie, story, other = read_model, chat(1), chat(1)
    await zombie.positions_of([PARTITION])
    faster = ActiveReadModel(tables.settings, MAX_DEFERRED)
    await project(faster, story.records)
    await faster.close()
    with pytest.raises(PositionConflict):
        await zombie.apply(
            [decode_incoming(PARTITION, 0, other.records[0])], [PositionUpdate(PARTITION, 0, 1)]
        )
    assert await tables.rows() == folded(story)
    assert await tables.positions() == {PARTITION: story.version}
    assert await project(zombie, other.records) == []


async def test_only_one_of_two_projectors_of_the_same_records_writes(
    tables: ReadModelTables, read_model: ActiveReadModel
) -> None:
    stories = [chat(3) for _ in range(20)]
    records = mixed(stories, random.Random(2))
    incoming = [decode_incoming(PARTITION, i, record) for i, record in enumerate(records)]
    second = ActiveReadModel(tables.settings, MAX_DEFERRED)
    await read_model.positions_of([PARTITION])
    both = [
        each.apply(incoming, [PositionUpdate(PARTITION, 0, len(records))])
        for each in (read_model, second)
    ]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {list, PositionConflict}
    assert await tables.rows() == folded(*stories)
    await second.close()


async def test_a_batch_that_fails_leaves_no_trace(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = chat(2)
    await project(read_model, story.records[:3])
    await tables.connection.execute("ALTER TABLE messages RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await project(read_model, story.records[3:])
    await tables.connection.execute("ALTER TABLE away RENAME TO messages")
    assert await tables.positions() == {PARTITION: 3}
    assert await project(read_model, story.records[3:]) == []
    assert await tables.rows() == folded(story)


async def test_deferred_events_are_stored_until_the_missing_one_arrives(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = chat(1)
    await project(read_model, [story.records[3], story.records[2], story.records[0]])
    assert await tables.versions([story]) == {story.id: 1}
    assert await tables.deferred() == [3, 4]
    await project(read_model, [story.records[1]])
    assert await tables.rows() == folded(story)
    assert await tables.deferred() == []


async def test_a_dead_letter_is_the_record_as_it_was_and_where(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = chat(1)
    headers = [("ce_id", b"\xff\x00"), ("ce_id", b"twice"), ("na\x00me", b"")]
    poison = Record(story.records[0].key, headers, b"\x00poison")
    [parked] = await project(read_model, [poison])
    [letter] = await tables.dead_letters()
    assert (letter["session_id"], letter["partition"], letter["offset"]) == (story.id, PARTITION, 0)
    assert (letter["key"], letter["value"]) == (poison.key, b"\x00poison")
    assert letter["headers"] == '[["ce_id", "/wA="], ["ce_id", "dHdpY2U="], ["na\\u0000me", ""]]'
    assert letter["error"] == parked.error == "the header ce_type is missing"


async def test_a_parked_session_stays_parked_while_others_continue(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
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
    usage = Usage.model_construct(prompt_tokens=tokens, completion_tokens=1)
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
async def test_an_unstorable_value_parks_only_its_session(
    read_model: ActiveReadModel, tables: ReadModelTables, unstorable: Any
) -> None:
    story, before, after = chat(1), chat(2), chat(2)
    batch = [*before.records, *story.records[:-1], unstorable(story), *after.records]
    [letter] = await project(read_model, batch)
    assert letter.incoming.offset == before.version + 3
    rows = await tables.rows()
    assert rows.of(before, after) == folded(before, after)
    assert rows.sessions[story.id].version == 3
    assert await tables.positions() == {PARTITION: len(batch)}
    await project(read_model, story.records)
    assert len(await tables.dead_letters()) == 1 + story.version


async def test_a_message_id_of_an_earlier_batch_parks_its_session(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = chat(1)
    await project(read_model, story.records)
    again = replace(story.forked_event(5), data=story.data(1))
    [letter] = await project(read_model, [encode(again)])
    assert letter.error == "it cannot be stored: UniqueViolationError"
    assert await tables.rows() == folded(story)


async def test_a_message_keeps_its_first_turn_when_its_reply_is_regenerated(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = chat(1)
    first = story.data(2)
    again = first.model_copy(update={"turn_id": story.id, "reply_id": story.id})
    assert isinstance(again, ReplyRequested)
    await project(read_model, story.records)
    await project(read_model, [encode(replace(story.forked_event(5), data=again))])
    message = (await tables.rows()).messages[story.id, first.parent_message_id]
    assert message.turn_id == first.turn_id


async def test_no_content_is_stored_in_plaintext(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story = Story(title="Xylophone lessons")
    story.submit("xylophone question")
    story.reply("xylophone answer")
    story.submit("another xylophone")
    story.fail("half a xylophone")
    poison = replace(story.records[-1], headers=story.records[-1].headers[1:])
    early = story.forked_event(story.version + 5)
    await project(read_model, [*story.records, encode(early), poison])
    assert len((await tables.rows()).messages) == 4
    everything = await tables.everything()
    assert b"xylophone" not in everything.lower()
    assert b"stalled" not in everything
    # A plaintext column would have been found.
    assert b"upstream_timeout" in everything


async def test_only_the_tombstone_of_an_erased_session_remains(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    story, other = full(), full()
    early = encode(story.forked_event(story.version + 5))
    await project(read_model, [*story.records, *other.records, early])
    assert await tables.deferred() == [story.version + 5]
    story.erase()
    await project(read_model, story.records[-1:])
    assert await tables.rows() == folded(story, other)
    assert await tables.deferred() == []
    sealed = [event.data.content for event in story.events if hasattr(event.data, "content")]
    everything = await tables.everything()
    assert len(sealed) > 5
    assert not [each for each in sealed if each in everything]
    await project(read_model, story.records)
    assert await tables.rows() == folded(story, other), "a late repeat restores nothing"
    assert await tables.dead_letters() == []


async def test_listeners_are_notified_of_changed_sessions(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    payloads: list[str] = []
    await tables.connection.add_listener(CHANNEL, lambda *call: payloads.append(call[-1]))
    stories = [chat(1) for _ in range(250)]
    await project(read_model, [record for story in stories for record in story.records])
    await tables.connection.execute("SELECT 1")
    assert {id for payload in payloads for id in changed_sessions(payload)} == {
        s.id for s in stories
    }
    assert len(payloads) == 3
    await project(read_model, stories[0].records)
    await tables.connection.execute("SELECT 1")
    assert len(payloads) == 3, "repeats change nothing"


async def test_positions_start_at_0_and_are_stored(
    read_model: ActiveReadModel, tables: ReadModelTables
) -> None:
    assert await read_model.positions_of([0, 5]) == {0: 0, 5: 0}
    await tables.connection.execute("UPDATE positions SET next = 9 WHERE partition = 5")
    assert await read_model.positions_of([0, 5, 7]) == {0: 0, 5: 9, 7: 0}
