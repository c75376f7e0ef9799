"""Dead letters are retried after the cause is fixed, or discarded, in log order."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from history_testing.poison import poisoned, project_with_poison
from history_testing.read_model import (
    MAX_DEFERRED,
    PARTITION,
    ReadModelTables,
    branched,
    folded,
    project,
)
from history_testing.stories import chat

from parley_events.cloudevents import Record
from parley_history.domain import batch as domain_batch
from parley_history.domain import fold
from parley_history.domain.incoming_record import decode_incoming
from parley_history.domain.rows import SessionRow
from parley_history.operations.dead_letters import repository
from parley_history.operations.dead_letters.outcomes import RetryOutcome
from parley_history.operations.dead_letters.repository import RecordLocation, RetryGroup
from parley_history.operations.dead_letters.retry_records import (
    CannotDiscard,
    NoSuchDeadLetter,
    discard,
    retry,
)
from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.change_notifications import CHANNEL, changed_sessions
from parley_history.storage.database import Connection
from parley_history.storage.positions import PositionUpdate
from parley_testing.eventually import eventually

PROJECTOR_WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'parley-projector' AND datname = current_database()
    AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def connection(tables: ReadModelTables) -> AsyncIterator[Any]:
    """A connection like that of the command."""
    connection = await asyncpg.connect(tables.dsn)
    yield connection
    await connection.close()


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Breaks the fold for one event until the test undoes it."""
    evolve = fold.evolve

    def break_at(event: Any) -> None:
        def evolve_with_a_fault(session: SessionRow | None, next_event: Any) -> Any:
            if next_event.id == event.id:
                raise KeyError
            return evolve(session, next_event)

        monkeypatch.setattr(domain_batch, "evolve", evolve_with_a_fault)

    yield break_at
    monkeypatch.setattr(domain_batch, "evolve", evolve)


async def test_retried_records_are_applied_in_order_and_notified(
    read_model: ActiveReadModel,
    tables: ReadModelTables,
    fault: Any,
    monkeypatch: pytest.MonkeyPatch,
    connection: Connection,
) -> None:
    story, other = chat(2), chat(1)
    fault(story.events[3])
    await project(read_model, [*story.records[:5], *other.records, *story.records[3:]])
    assert (await tables.rows()).sessions[story.id].version == 3
    monkeypatch.undo()
    payloads: list[str] = []
    await tables.connection.add_listener(CHANNEL, lambda *call: payloads.append(call[-1]))

    outcomes = await retry(connection, RetryGroup(story.id))

    results = [each.outcome for each in outcomes]
    applied, repeat = RetryOutcome.APPLIED, RetryOutcome.REPEAT
    assert results == [applied, applied, repeat, repeat, applied, applied]
    assert [outcome.location.offset for outcome in outcomes] == [3, 4, 9, 10, 11, 12]
    assert await tables.rows() == folded(story, other)
    assert await tables.dead_letters() == []
    assert await tables.positions() == {PARTITION: 13}
    await eventually(lambda: [changed_sessions(ids) for ids in payloads] == [[story.id]])


async def test_a_record_that_still_fails_is_parked_again_with_the_new_error(
    read_model: ActiveReadModel, tables: ReadModelTables, fault: Any, connection: Connection
) -> None:
    story = chat(2)
    fault(story.events[1])
    await project(read_model, story.records)
    fault(story.events[2])
    outcomes = await retry(connection, RetryGroup(story.id))
    assert outcomes[0].outcome is RetryOutcome.APPLIED
    assert outcomes[1] == (
        RecordLocation(PARTITION, 2),
        RetryOutcome.PARKED,
        "it cannot be applied: KeyError",
    )
    assert {outcome.outcome for outcome in outcomes[2:]} == {RetryOutcome.PARKED}
    assert (await tables.rows()).sessions[story.id].version == 2
    assert len(await tables.dead_letters()) == story.version - 2


async def test_events_parked_beyond_the_deferral_limit_are_applied_by_a_retry(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(4)
    first, missing, *later = story.records
    await project(read_model, [first, *later])
    assert len(await tables.dead_letters()) == len(later) - MAX_DEFERRED
    outcomes = await retry(connection, RetryGroup(story.id))
    assert {outcome.outcome for outcome in outcomes} == {RetryOutcome.DEFERRED}
    await project(read_model, [missing])
    assert await tables.rows() == folded(story)
    assert await tables.deferred() == []


async def test_an_unstorable_record_parks_again_and_earlier_ones_stay_applied(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(2)
    await project(read_model, story.records[:1])
    headers = [
        (name, b"2147483648" if name == "ce_sequence" else value)
        for name, value in story.records[5].headers
    ]
    poison = replace(story.records[5], headers=headers)
    await project(read_model, [poisoned(story.records[1]), *story.records[1:5], poison])
    outcomes = await discard(
        connection, RetryGroup(story.id), RecordLocation(PARTITION, 1), "it is not JSON"
    )
    assert [outcome.outcome for outcome in outcomes[:2]] == [
        RetryOutcome.DISCARDED,
        RetryOutcome.REPEAT,
    ]
    assert outcomes[-1].error == "it cannot be stored: DataError"
    assert (await tables.rows()).sessions[story.id].version == 5


async def test_a_discarded_record_is_also_skipped_when_it_is_delivered_again(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(2)
    records = await project_with_poison(read_model, story, 3)
    outcomes = await discard(
        connection, RetryGroup(story.id), RecordLocation(PARTITION, 3), "a test"
    )
    assert [outcome.outcome for outcome in outcomes[:2]] == [
        RetryOutcome.DISCARDED,
        RetryOutcome.APPLIED,
    ]
    assert await project(read_model, records) == []
    rows = await tables.rows()
    assert rows.sessions == branched(story)
    assert len(rows.messages) == 3
    [discarded] = await tables.connection.fetch("SELECT * FROM discarded_records")
    assert (discarded["partition"], discarded["offset"], discarded["session_id"]) == (
        PARTITION,
        3,
        story.id,
    )
    assert (discarded["reason"], discarded["value"]) == ("a test", records[3].value)
    assert discarded["error"].startswith("invalid data for its type")


async def test_all_dead_letters_of_a_session_are_discarded_together(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(3)
    records = story.records
    await project(read_model, [*records[:3], poisoned(records[3]), *records[4:6]])
    await discard(connection, RetryGroup(story.id), None, "all of it")
    assert (await tables.rows()).sessions[story.id].version == 6
    await project(read_model, records[6:])
    assert (await tables.rows()).sessions == folded(story).sessions


async def test_the_start_of_a_session_is_discarded_with_all_of_the_session_or_not(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(1)
    await project_with_poison(read_model, story, 0)
    group, start = RetryGroup(story.id), RecordLocation(PARTITION, 0)
    with pytest.raises(CannotDiscard, match=f"the start of session {story.id}"):
        await discard(connection, group, start, "no")
    assert len(await tables.dead_letters()) == story.version
    assert await tables.connection.fetchval("SELECT count(*) FROM discarded_records") == 0
    outcomes = await discard(connection, group, None, "a test")
    assert {outcome.outcome for outcome in outcomes} == {RetryOutcome.DISCARDED}
    assert await tables.dead_letters() == []
    assert await tables.versions([story]) == {}


async def test_a_record_without_a_session_is_discarded_alone(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    strange = Record(b"", [], b"what?")
    await project(read_model, [strange, strange, Record(b"", [], b"who?")])
    group = RetryGroup(None, PARTITION, 0)
    [outcome] = await retry(connection, group)
    assert outcome.outcome is RetryOutcome.PARKED
    [outcome] = await discard(connection, group, RecordLocation(PARTITION, 0), "a test")
    assert outcome.outcome is RetryOutcome.DISCARDED
    assert await project(read_model, [strange]) == []
    assert [letter["offset"] for letter in await tables.dead_letters()] == [1, 2]


async def test_the_projector_waits_during_a_retry(
    read_model: ActiveReadModel,
    tables: ReadModelTables,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story, deleted, may_continue = chat(2), asyncio.Event(), asyncio.Event()
    await project_with_poison(read_model, story, 1)
    delete_letters = repository.delete_letters

    async def delete_slowly(connection: Connection, letters: Any) -> None:
        await delete_letters(connection, letters)
        deleted.set()
        await may_continue.wait()

    monkeypatch.setattr(repository, "delete_letters", delete_slowly)
    group, location = RetryGroup(story.id), RecordLocation(PARTITION, 1)
    discarding = asyncio.create_task(discard(connection, group, location, "x"))
    await deleted.wait()
    repeat = decode_incoming(PARTITION, story.version, story.records[-1])
    update = PositionUpdate(PARTITION, story.version, story.version + 1)
    projecting = asyncio.create_task(read_model.apply([repeat], [update]))
    await eventually(lambda: tables.connection.fetchval(PROJECTOR_WAITS))
    may_continue.set()
    await discarding
    # A projector that did not wait would have parked the record.
    assert await projecting == []
    assert (await tables.rows()).sessions == branched(story)
    assert await tables.dead_letters() == []


async def test_a_retry_without_dead_letters_fails(
    read_model: ActiveReadModel, tables: ReadModelTables, connection: Connection
) -> None:
    story = chat(1)
    await project(read_model, story.records)
    with pytest.raises(NoSuchDeadLetter):
        await retry(connection, RetryGroup(story.id))
    with pytest.raises(NoSuchDeadLetter):
        await discard(connection, RetryGroup(None, PARTITION, 0), RecordLocation(PARTITION, 0), "x")
