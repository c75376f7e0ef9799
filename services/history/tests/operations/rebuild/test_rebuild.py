"""Rebuild and verify: contents, errors and resumption after a kill."""

import os
import random
import re
import signal
from dataclasses import replace
from typing import Any

import pytest
from history_testing.completions import Completion
from history_testing.log import Relay
from history_testing.read_model import ReadModelTables, folded
from history_testing.rebuild import RebuildRunner
from history_testing.stories import Story, chat, full, mixed

from parley_events.cloudevents import encode
from parley_history.domain.discarded_record import record_digest
from parley_history.operations.rebuild import command
from parley_history.operations.rebuild.worker.pool import WorkerPool
from parley_testing.eventually import eventually
from parley_testing.transactions import append_in_transaction

SMALL = {"PARLEY_HISTORY_REBUILD_BATCH_SIZE": "20"}


def checksums(output: str) -> set[str]:
    return {line.rpartition("checksum ")[2] for line in output.splitlines() if "checksum" in line}


async def test_a_rebuilt_version_equals_the_live_one(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    chance = random.Random(1)
    stories = [chat(chance.randint(1, 12)) for _ in range(40)]
    stories += [full() for _ in range(5)]
    stories += [Completion() for _ in range(5)]
    stories[0].add_unknown_event()
    for story in (*stories[:3], *stories[40:42]):
        story.erase()
    waiting = chat(4)
    records = mixed(stories, chance)
    near = sorted(range(len(records)), key=lambda i: i + chance.gauss(0, 3))
    delivery = [*(records[i] for i in near), *chance.choices(records, k=50)]
    await relay.publish([*delivery, waiting.records[0], *waiting.records[3:6]])
    await rebuild.project()
    rebuilt = await rebuild.run("rebuild", "--workers", "2", **SMALL)
    assert rebuilt.code == 0, rebuilt.error
    assert len(checksums(rebuilt.output)) == 1
    assert "version 1 (live): 51 sessions" in rebuilt.output
    assert await rebuild.active() == 2
    rows = await rebuild.rows(2)
    assert rows.of(*stories) == folded(*stories)
    assert rows == await rebuild.rows(1)
    await tables.enter(2)
    assert await tables.deferred() == [4, 5, 6]
    assert await tables.positions() == await rebuild.tables.positions()


async def test_a_log_that_ends_with_a_transaction_marker_is_rebuilt(
    rebuild: RebuildRunner, kafka_bootstrap: str, log_topic: str
) -> None:
    await append_in_transaction(kafka_bootstrap, log_topic, chat(1).records)
    await rebuild.project()
    for command_line in ("rebuild", "verify", "rebuild"):
        ended = await rebuild.run(command_line)
        assert ended.code == 0, ended.error


async def test_a_verify_fails_while_the_projection_is_stalled(
    rebuild: RebuildRunner, relay: Relay
) -> None:
    await relay.publish(chat(1).records)
    await rebuild.project()
    unprojected = chat(2).records
    await relay.publish(unprojected)
    behind = await rebuild.run("verify", PARLEY_HISTORY_REBUILD_CATCH_UP_TIMEOUT_SECONDS="0.3")
    assert behind.code == 1
    assert f"is {len(unprojected)} events behind the log" in behind.error
    await rebuild.project()
    caught_up = await rebuild.run("verify")
    assert caught_up.code == 0, caught_up.error


async def test_a_verify_detects_an_emptied_read_model(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    story = chat(1)
    await relay.publish(story.records)
    await rebuild.project()
    await tables.connection.execute("TRUNCATE sessions, messages, usage")
    ended = await rebuild.run("verify")
    assert ended.code == 1
    assert str(story.id) in ended.error


@pytest.mark.parametrize("killed", ["a worker", "all of it"])
async def test_a_killed_rebuild_resumes_where_it_was(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables, killed: Any
) -> None:
    stories = [*(chat(20) for _ in range(45)), *(full() for _ in range(5))]
    for story in (*stories[:4], *stories[-2:]):
        story.erase()
    records = mixed(stories, random.Random(2))
    await relay.publish(records)
    await rebuild.project()
    process = await rebuild.start("rebuild", "--workers", "2", **SMALL)

    async def is_partly_done() -> bool:
        return await rebuild.applied(2) > 300

    await eventually(is_partly_done)
    if killed == "a worker":
        os.kill(rebuild.workers_of(process)[0], signal.SIGKILL)
        ended = await rebuild.result_of(process)
        assert ended.code == 1
        assert "A worker exited with code -9" in ended.error
    else:
        process.kill()
        await rebuild.result_of(process)
    applied = await rebuild.applied(2)
    assert applied < len(records), "killed too late to prove anything"
    assert await rebuild.active() == 1
    resumed = await rebuild.run("rebuild", "--workers", "1", **SMALL)
    assert resumed.code == 0, resumed.error
    assert len(checksums(resumed.output)) == 1
    [events] = re.findall(r"is live: ([\d,]+) events in", resumed.output)
    assert int(events.replace(",", "")) <= len(records) - applied
    assert await rebuild.rows(2) == folded(*stories)


async def test_an_inapplicable_record_aborts_a_rebuild_until_it_is_discarded(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    story, others = chat(2), [chat(2) for _ in range(10)]
    poison = replace(story.records[3], value=b'{"content": "xylophone"}')
    await relay.publish(mixed(others, random.Random(1)))
    await relay.publish([*story.records[:3], poison, *story.records[4:]])
    stopped = await rebuild.run("rebuild", "--workers", "1")
    assert stopped.code == 1
    [sentence] = [line for line in stopped.error.splitlines() if "cannot be projected" in line]
    assert f"(session {story.id})" in sentence
    assert "invalid data for its type" in sentence
    assert "parley log dead-letters discard" in sentence
    assert "xylophone" not in stopped.error
    assert (await rebuild.active(), await rebuild.applied(2)) == (1, 0)
    await discard(tables, story, poison)
    resumed = await rebuild.run("rebuild", "--workers", "1")
    assert resumed.code == 0, resumed.error
    rows = await rebuild.rows(2)
    assert rows.of(*others) == folded(*others)
    assert rows.sessions[story.id].version == story.version


async def discard(tables: ReadModelTables, story: Story, record: Any) -> None:
    await tables.connection.execute(
        "INSERT INTO discarded_records VALUES ($1, 0, 0, $2, 'error', 'why', '', '[]', '')",
        record_digest(record),
        story.id,
    )


async def test_an_unstorable_record_aborts_a_rebuild(rebuild: RebuildRunner, relay: Relay) -> None:
    story, other = chat(1), chat(1)
    unstorable = encode(replace(story.events[3], sequence=2**31))
    await relay.publish([*other.records, *story.records[:3], unstorable])
    stopped = await rebuild.run("rebuild", "--workers", "1")
    assert stopped.code == 1
    assert f"(session {story.id}) cannot be projected: it cannot be stored: " in stopped.error


async def test_a_duplicate_message_id_is_found_when_keys_are_added(
    rebuild: RebuildRunner, relay: Relay
) -> None:
    story = chat(8)
    again = replace(story.forked_event(story.version + 1), data=story.data(1))
    await relay.publish([*story.records, encode(again)])
    stopped = await rebuild.run("rebuild", "--workers", "1", PARLEY_HISTORY_REBUILD_BATCH_SIZE="10")
    assert stopped.code == 1
    assert f"Session {story.id} has two messages with the same id" in stopped.error
    assert (await rebuild.active(), await rebuild.schemas()) == (1, ["read_model_1"])


async def test_a_second_concurrent_rebuild_is_rejected(
    rebuild: RebuildRunner, tables: ReadModelTables
) -> None:
    await tables.connection.fetchval(command._TRY_LOCK)
    second = await rebuild.run("verify")
    assert second.code == 1
    assert second.error.strip() == "Another rebuild or verify is running on this database."


async def test_differences_prevent_the_swap_unless_accepted(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    stories = [chat(3) for _ in range(20)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuild.project()
    changed, lost = stories[3].id, stories[4].id
    await tables.connection.execute(
        "UPDATE messages SET model = 'other' WHERE session_id = $1", changed
    )
    result = await rebuild.run("rebuild", "--workers", "1")
    assert result.code == 1
    assert f"differ in 1 sessions. First sessions:\n  {changed}" in result.error
    assert len(checksums(result.output)) == 2
    assert (await rebuild.active(), await rebuild.schemas()) == (1, ["read_model_1"])
    for table, column in (("sessions", "id"), ("messages", "session_id")):
        await tables.connection.execute(f"DELETE FROM {table} WHERE {column} = $1", lost)
    accepted = await rebuild.run("rebuild", "--accept-differences", "--workers", "1")
    assert accepted.code == 0, accepted.error
    assert await rebuild.rows(await rebuild.active()) == folded(*stories)


async def test_a_small_log_is_rebuilt_and_verified_without_worker_processes(
    rebuild: RebuildRunner, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerPool, "run", None)
    stories = [full() for _ in range(5)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuild.project()
    for command_line in ("verify", "rebuild"):
        ended = await rebuild.run(command_line)
        assert ended.code == 0, ended.error
    assert await rebuild.rows(await rebuild.active()) == folded(*stories)


async def test_wrong_usage_is_a_difference(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    story = chat(1)
    await relay.publish(story.records)
    await rebuild.project()
    await tables.connection.execute("UPDATE usage SET cost = cost + 1")
    result = await rebuild.run("verify", "--workers", "1")
    assert (result.code, f"  {story.id}" in result.error) == (1, True), result.error


async def test_a_verify_swaps_nothing_and_leaves_no_schema(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    stories = [chat(3) for _ in range(10)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuild.project()
    await tables.connection.execute(
        "INSERT INTO dead_letters VALUES (9, 9, $1, 'error', '', '[]', '')", stories[0].id
    )
    await tables.connection.execute("DELETE FROM messages WHERE session_id = $1", stories[0].id)
    verified = await rebuild.run("verify", "--workers", "1")
    assert verified.code == 0, verified.error
    assert "version 1 (live): 9 sessions, " in verified.output
    assert "not compared: 1 sessions parked in the live version" in verified.output
    assert "swap" not in verified.output + verified.error
    assert (await rebuild.active(), await rebuild.schemas()) == (1, ["read_model_1"])


async def test_a_session_missing_in_the_live_version_is_a_difference(
    rebuild: RebuildRunner, relay: Relay, tables: ReadModelTables
) -> None:
    stories = [chat(2) for _ in range(9)]
    await relay.publish(mixed(stories, random.Random(2)))
    await rebuild.project()
    lost = stories[4].id
    for table, column in (("sessions", "id"), ("messages", "session_id")):
        await tables.connection.execute(f"DELETE FROM {table} WHERE {column} = $1", lost)
    result = await rebuild.run("verify", "--workers", "1")
    assert (result.code, f"  {lost}" in result.error) == (1, True), result.error
    assert await rebuild.schemas() == ["read_model_1"]
