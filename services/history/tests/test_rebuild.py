"""A version is made again from the log: what it holds, what stops it, and that it goes on."""

import os
import random
import re
import signal
from dataclasses import replace

import pytest
from history_peers.completions import Completion
from history_peers.read_model import folded
from history_peers.stories import chat, full, mixed

from parley_events.cloudevents import encode
from parley_history.domain.discarded_record import record_digest
from parley_history.operations.rebuild import command
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction

SMALL = {"rebuild_records": 20}


def checksums(said: str) -> set[str]:
    return {line.rpartition("checksum ")[2] for line in said.splitlines() if "checksum" in line}


async def test_a_rebuild_holds_what_the_live_projection_holds(rebuilding, relay, tables):
    chance = random.Random(1)
    stories = [chat(chance.randint(1, 12)) for _ in range(40)]
    stories += [full() for _ in range(5)]
    stories += [Completion() for _ in range(5)]
    stories[0].does_something_new()
    for story in (*stories[:3], *stories[40:42]):
        story.is_erased()
    waiting = chat(4)
    records = mixed(stories, chance)
    near = sorted(range(len(records)), key=lambda i: i + chance.gauss(0, 3))
    delivery = [*(records[i] for i in near), *chance.choices(records, k=50)]
    await relay.publish([*delivery, waiting.records[0], *waiting.records[3:6]])
    await rebuilding.project()
    rebuilt = await rebuilding.run("rebuild", "--workers", "2", **SMALL)
    assert rebuilt.code == 0, rebuilt.error
    assert len(checksums(rebuilt.said)) == 1
    assert "version 1 (live): 51 sessions" in rebuilt.said
    assert await rebuilding.active() == 2
    rows = await rebuilding.rows(2)
    assert rows.of(*stories) == folded(*stories)
    assert rows == await rebuilding.rows(1)
    await tables.look_at(2)
    assert await tables.held() == [4, 5, 6]
    assert await tables.positions() == await rebuilding.tables.positions()


async def test_a_log_that_ends_with_the_mark_of_a_transaction_is_rebuilt(
    rebuilding, kafka_bootstrap, log_topic
):
    await append_in_transaction(kafka_bootstrap, log_topic, chat(1).records)
    await rebuilding.project()
    for command_line in ("rebuild", "verify", "rebuild"):
        ended = await rebuilding.run(command_line, rebuild_stalled_seconds=1)
        assert ended.code == 0, ended.error


async def test_a_verify_never_vouches_for_a_projection_that_stands_still(rebuilding, relay):
    await relay.publish(chat(1).records)
    await rebuilding.project()
    unprojected = chat(2).records
    await relay.publish(unprojected)
    behind = await rebuilding.run("verify", rebuild_live_seconds=0.3)
    assert behind.code == 1
    assert f"is {len(unprojected)} events behind the log" in behind.error
    await rebuilding.project()
    caught_up = await rebuilding.run("verify")
    assert caught_up.code == 0, caught_up.error


async def test_a_verify_tells_of_a_read_model_that_holds_nothing_any_more(
    rebuilding, relay, tables
):
    story = chat(1)
    await relay.publish(story.records)
    await rebuilding.project()
    await tables.connection.execute("TRUNCATE sessions, messages, usage")
    ended = await rebuilding.run("verify")
    assert ended.code == 1
    assert str(story.id) in ended.error


@pytest.mark.parametrize("killed", ["a worker", "all of it"])
async def test_a_rebuild_that_is_killed_goes_on_where_it_was(rebuilding, relay, tables, killed):
    stories = [*(chat(20) for _ in range(45)), *(full() for _ in range(5))]
    for story in (*stories[:4], *stories[-2:]):
        story.is_erased()
    records = mixed(stories, random.Random(2))
    await relay.publish(records)
    await rebuilding.project()
    process = await rebuilding.start("rebuild", "--workers", "2", **SMALL)

    async def some_of_it():
        return await rebuilding.done(2) > 300

    await eventually(some_of_it, within=30)
    if killed == "a worker":
        os.kill(rebuilding.workers_of(process)[0], signal.SIGKILL)
        ended = await rebuilding.end_of(process)
        assert ended.code == 1
        assert "A worker of the rebuild ended with code -9" in ended.error
    else:
        process.kill()
        await rebuilding.end_of(process)
    taken = await rebuilding.done(2)
    assert taken < len(records), "killed too late to prove anything"
    assert await rebuilding.active() == 1
    resumed = await rebuilding.run("rebuild", "--workers", "1", **SMALL)
    assert resumed.code == 0, resumed.error
    assert len(checksums(resumed.said)) == 1
    [events] = re.findall(r"is live: ([\d,]+) events in", resumed.said)
    assert int(events.replace(",", "")) <= len(records) - taken
    assert await rebuilding.rows(2) == folded(*stories)


async def test_what_can_never_be_applied_stops_it_until_it_is_discarded(rebuilding, relay, tables):
    story, others = chat(2), [chat(2) for _ in range(10)]
    poison = replace(story.records[3], value=b'{"content": "xylophone"}')
    await relay.publish(mixed(others, random.Random(1)))
    await relay.publish([*story.records[:3], poison, *story.records[4:]])
    stopped = await rebuilding.run("rebuild", "--workers", "1")
    assert stopped.code == 1
    [sentence] = [line for line in stopped.error.splitlines() if "cannot be projected" in line]
    assert f"(session {story.id})" in sentence
    assert "invalid data for its type" in sentence
    assert "parley log dead-letters discard" in sentence
    assert "xylophone" not in stopped.error
    assert (await rebuilding.active(), await rebuilding.done(2)) == (1, 0)
    await discard(tables, story, poison)
    goes_on = await rebuilding.run("rebuild", "--workers", "1")
    assert goes_on.code == 0, goes_on.error
    rows = await rebuilding.rows(2)
    assert rows.of(*others) == folded(*others)
    assert rows.sessions[story.id].version == story.version


async def discard(tables, story, record):
    await tables.connection.execute(
        "INSERT INTO discarded_records VALUES ($1, 0, 0, $2, 'error', 'why', '', '[]', '')",
        record_digest(record),
        story.id,
    )


async def test_what_cannot_be_stored_stops_it_too(rebuilding, relay):
    story, other = chat(1), chat(1)
    data = story.events[3].data.model_copy(update={"model": "mo\x00del"})
    unstorable = encode(replace(story.events[3], data=data))
    await relay.publish([*other.records, *story.records[:3], unstorable])
    stopped = await rebuilding.run("rebuild", "--workers", "1")
    assert stopped.code == 1
    assert f"(session {story.id}) cannot be projected: it cannot be stored: " in stopped.error


async def test_an_id_that_comes_twice_is_found_by_its_key(rebuilding, relay):
    story = chat(8)
    again = replace(story.forked(story.version + 1), data=story.events[1].data)
    await relay.publish([*story.records, encode(again)])
    stopped = await rebuilding.run("rebuild", "--workers", "1", rebuild_records=10)
    assert stopped.code == 1
    assert f"Session {story.id} has two messages with the same id" in stopped.error
    assert (await rebuilding.active(), await rebuilding.schemas()) == (1, ["read_model_1"])


async def test_of_two_at_once_one_is_refused(rebuilding, tables):
    await tables.connection.fetchval(command._TRY_LOCK)
    second = await rebuilding.run("verify")
    assert second.code == 1
    assert second.error.strip() == "Another rebuild or verify is at work on this database."


async def test_differences_are_told_and_nothing_is_swapped_unless_accepted(
    rebuilding, relay, tables
):
    stories = [chat(3) for _ in range(20)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuilding.project()
    changed, lost = stories[3].id, stories[4].id
    await tables.connection.execute(
        "UPDATE messages SET model = 'other' WHERE session_id = $1", changed
    )
    refused = await rebuilding.run("rebuild", "--workers", "1")
    assert refused.code == 1
    assert (
        f"differ in 1 sessions; nothing was swapped. The first ones:\n  {changed}" in refused.error
    )
    assert len(checksums(refused.said)) == 2
    assert (await rebuilding.active(), await rebuilding.schemas()) == (1, ["read_model_1"])
    for table, column in (("sessions", "id"), ("messages", "session_id")):
        await tables.connection.execute(f"DELETE FROM {table} WHERE {column} = $1", lost)
    accepted = await rebuilding.run("rebuild", "--accept-differences", "--workers", "1")
    assert accepted.code == 0, accepted.error
    assert await rebuilding.rows(await rebuilding.active()) == folded(*stories)


async def test_usage_that_is_not_what_the_log_says_is_a_difference(rebuilding, relay, tables):
    story = chat(1)
    await relay.publish(story.records)
    await rebuilding.project()
    await tables.connection.execute("UPDATE usage SET cost = cost + 1")
    refused = await rebuilding.run("verify", "--workers", "1")
    assert (refused.code, f"  {story.id}" in refused.error) == (1, True), refused.error


async def test_a_verification_swaps_nothing_and_leaves_nothing(rebuilding, relay, tables):
    stories = [chat(3) for _ in range(10)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuilding.project()
    await tables.connection.execute(
        "INSERT INTO dead_letters VALUES (9, 9, $1, 'error', '', '[]', '')", stories[0].id
    )
    await tables.connection.execute("DELETE FROM messages WHERE session_id = $1", stories[0].id)
    verified = await rebuilding.run("verify", "--workers", "1")
    assert verified.code == 0, verified.error
    assert "version 1 (live): 9 sessions, " in verified.said
    assert "1 sessions are parked in the live one and were left out" in verified.said
    assert (await rebuilding.active(), await rebuilding.schemas()) == (1, ["read_model_1"])


async def test_a_session_that_the_live_version_lost_is_a_difference(rebuilding, relay, tables):
    stories = [chat(2) for _ in range(9)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuilding.project()
    lost = stories[4].id
    for table, column in (("sessions", "id"), ("messages", "session_id")):
        await tables.connection.execute(f"DELETE FROM {table} WHERE {column} = $1", lost)
    refused = await rebuilding.run("verify", "--workers", "1")
    assert (refused.code, f"  {lost}" in refused.error) == (1, True), refused.error
    assert await rebuilding.schemas() == ["read_model_1"]
