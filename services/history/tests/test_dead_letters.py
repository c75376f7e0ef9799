"""Dead letters are applied again when the reason is mended, or gone without, in their order."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from history_peers.poison import poisoned, with_poison
from history_peers.read_model import LIMITS, PARTITION, branched, folded, project
from history_peers.stories import chat

from parley_events.cloudevents import Record
from parley_history.domain import batch as domain_batch
from parley_history.domain.incoming_record import arrival_of
from parley_history.operations.dead_letters import repository as dead_letters
from parley_history.operations.dead_letters.outcomes import RetryOutcome
from parley_history.operations.dead_letters.repository import Group, Place
from parley_history.operations.dead_letters.retry_records import (
    NotDiscarded,
    NothingToRetry,
    discard,
    retry,
)
from parley_history.projection.batch_applier import PositionUpdate
from parley_history.storage.projection_tables import MOVED_CHANNEL, moved_sessions
from parley_testing.eventually import eventually

PROJECTOR_WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'parley-projector' AND datname = current_database()
    AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def connection(tables):
    """As the command has one."""
    connection = await asyncpg.connect(tables.dsn)
    yield connection
    await connection.close()


@pytest.fixture
def fault(monkeypatch):
    """Breaks the fold for an event until it is mended."""
    evolve = domain_batch.evolve

    def break_at(event):
        def evolve_with_a_fault(session, next_event):
            if next_event.id == event.id:
                raise KeyError
            return evolve(session, next_event)

        monkeypatch.setattr(domain_batch, "evolve", evolve_with_a_fault)

    yield break_at
    monkeypatch.setattr(domain_batch, "evolve", evolve)


async def test_what_is_mended_is_applied_in_order_and_who_waits_is_told(
    read_model, tables, fault, monkeypatch, connection
):
    story, other = chat(2), chat(1)
    fault(story.events[3])
    await project(read_model, [*story.records[:5], *other.records, *story.records[3:]])
    assert (await tables.rows()).sessions[story.id].version == 3
    monkeypatch.undo()
    told: list[str] = []
    await tables.connection.add_listener(MOVED_CHANNEL, lambda *call: told.append(call[-1]))

    outcomes = await retry(connection, Group(story.id))

    became = [outcome.became for outcome in outcomes]
    applied, repeat = RetryOutcome.APPLIED, RetryOutcome.REPEAT
    assert became == [applied, applied, repeat, repeat, applied, applied]
    assert [outcome.place.offset for outcome in outcomes] == [3, 4, 9, 10, 11, 12]
    assert await tables.rows() == folded(story, other)
    assert await tables.dead_letters() == []
    assert await tables.positions() == {PARTITION: 13}
    await eventually(lambda: [moved_sessions(ids) for ids in told] == [[story.id]])


async def test_what_is_not_mended_is_parked_again_with_the_error_of_now(
    read_model, tables, fault, connection
):
    story = chat(2)
    fault(story.events[1])
    await project(read_model, story.records)
    fault(story.events[2])
    outcomes = await retry(connection, Group(story.id))
    assert outcomes[0].became is RetryOutcome.APPLIED
    assert outcomes[1] == (
        Place(PARTITION, 2),
        RetryOutcome.PARKED,
        "it cannot be applied: KeyError",
    )
    assert {outcome.became for outcome in outcomes[2:]} == {RetryOutcome.PARKED}
    assert (await tables.rows()).sessions[story.id].version == 2
    assert len(await tables.dead_letters()) == story.version - 2


async def test_too_many_held_events_are_applied_once_the_missing_one_has_come(
    read_model, tables, connection
):
    story = chat(4)
    first, missing, *later = story.records
    await project(read_model, [first, *later])
    assert len(await tables.dead_letters()) == len(later) - LIMITS.held_events
    outcomes = await retry(connection, Group(story.id))
    assert {outcome.became for outcome in outcomes} == {RetryOutcome.HELD}
    await project(read_model, [missing])
    assert await tables.rows() == folded(story)
    assert await tables.held() == []


async def test_what_cannot_be_stored_parks_again_and_what_came_before_it_stays(
    read_model, tables, connection
):
    story = chat(2)
    await project(read_model, story.records[:1])
    headers = [
        (name, b"2147483648" if name == "ce_sequence" else value)
        for name, value in story.records[5].headers
    ]
    poison = replace(story.records[5], headers=headers)
    await project(read_model, [poisoned(story.records[1]), *story.records[1:5], poison])
    outcomes = await discard(connection, Group(story.id), Place(PARTITION, 1), "it is not JSON")
    assert [outcome.became for outcome in outcomes[:2]] == [
        RetryOutcome.DISCARDED,
        RetryOutcome.REPEAT,
    ]
    assert outcomes[-1].error == "it cannot be stored: DataError"
    assert (await tables.rows()).sessions[story.id].version == 5


async def test_a_discarded_record_is_gone_without_also_when_it_comes_again(
    read_model, tables, connection
):
    story = chat(2)
    records = await with_poison(read_model, story, 3)
    outcomes = await discard(connection, Group(story.id), Place(PARTITION, 3), "a test's")
    assert [outcome.became for outcome in outcomes[:2]] == [
        RetryOutcome.DISCARDED,
        RetryOutcome.APPLIED,
    ]
    assert await project(read_model, records) == []
    rows = await tables.rows()
    assert rows.sessions == branched(story)
    assert len(rows.messages) == 3
    [kept] = await tables.connection.fetch("SELECT * FROM discarded_records")
    assert (kept["partition"], kept["offset"], kept["session_id"]) == (PARTITION, 3, story.id)
    assert (kept["reason"], kept["value"]) == ("a test's", records[3].value)
    assert kept["error"].startswith("invalid data for its type")


async def test_a_session_is_discarded_as_far_as_it_is_parked(read_model, tables, connection):
    story = chat(3)
    records = story.records
    await project(read_model, [*records[:3], poisoned(records[3]), *records[4:6]])
    await discard(connection, Group(story.id), None, "all of it")
    assert (await tables.rows()).sessions[story.id].version == 6
    await project(read_model, records[6:])
    assert (await tables.rows()).sessions == folded(story).sessions


async def test_the_start_of_a_session_is_discarded_with_all_of_the_session_or_not(
    read_model, tables, connection
):
    story = chat(1)
    await with_poison(read_model, story, 0)
    group, start = Group(story.id), Place(PARTITION, 0)
    with pytest.raises(NotDiscarded, match=f"the start of session {story.id}"):
        await discard(connection, group, start, "no")
    assert len(await tables.dead_letters()) == story.version
    assert await tables.connection.fetchval("SELECT count(*) FROM discarded_records") == 0
    outcomes = await discard(connection, group, None, "nobody's session")
    assert {outcome.became for outcome in outcomes} == {RetryOutcome.DISCARDED}
    assert await tables.dead_letters() == []
    assert await tables.versions([story]) == {}


async def test_a_record_that_names_no_session_is_discarded_alone(read_model, tables, connection):
    strange = Record(b"", [], b"what?")
    await project(read_model, [strange, strange, Record(b"", [], b"who?")])
    group = Group(None, PARTITION, 0)
    [outcome] = await retry(connection, group)
    assert outcome.became is RetryOutcome.PARKED
    [outcome] = await discard(connection, group, Place(PARTITION, 0), "nobody's")
    assert outcome.became is RetryOutcome.DISCARDED
    assert await project(read_model, [strange]) == []
    assert [letter["offset"] for letter in await tables.dead_letters()] == [1, 2]


async def test_while_letters_are_retried_the_projector_waits(
    read_model, tables, connection, monkeypatch
):
    story, taken_out, go_on = chat(2), asyncio.Event(), asyncio.Event()
    await with_poison(read_model, story, 1)
    take_out = dead_letters.take_out

    async def take_out_slowly(connection, letters):
        await take_out(connection, letters)
        taken_out.set()
        await go_on.wait()

    monkeypatch.setattr(dead_letters, "take_out", take_out_slowly)
    group, place = Group(story.id), Place(PARTITION, 1)
    discarding = asyncio.create_task(discard(connection, group, place, "x"))
    await taken_out.wait()
    repeat = arrival_of(PARTITION, story.version, story.records[-1])
    move = PositionUpdate(PARTITION, story.version, story.version + 1)
    projecting = asyncio.create_task(read_model.project([repeat], [move]))
    await eventually(lambda: tables.connection.fetchval(PROJECTOR_WAITS))
    go_on.set()
    await discarding
    # Had it not waited, it would have parked the record with the others of its session.
    assert await projecting == []
    assert (await tables.rows()).sessions == branched(story)
    assert await tables.dead_letters() == []


async def test_there_is_nothing_to_retry_where_nothing_is_parked(read_model, tables, connection):
    story = chat(1)
    await project(read_model, story.records)
    with pytest.raises(NothingToRetry):
        await retry(connection, Group(story.id))
    with pytest.raises(NothingToRetry):
        await discard(connection, Group(None, PARTITION, 0), Place(PARTITION, 0), "x")
