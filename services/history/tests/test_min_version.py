"""Whoever asks for a version waits until it is projected, but not for ever."""

import asyncio

import pytest
from history_peers.read_model import project
from history_peers.stories import Story, chat

from parley_testing.eventually import eventually


async def test_a_version_that_is_reached_is_answered_at_once(start, told, session):
    history, story = await start(history_wait_seconds=60), await told(chat(1))
    async with asyncio.timeout(5):
        page = await history.read(story.id, min_version=story.version)
    assert page.json["version"] == story.version


@pytest.mark.parametrize("projected_before", [True, False])
async def test_who_asks_for_a_version_is_answered_when_it_is_projected(
    start, read_model, session, projected_before
):
    # Woken by the notification: it would not look again in time.
    history = await start(history_wait_seconds=30, history_poll_seconds=30)
    session.knows(story := chat(1))
    first = 2 if projected_before else 0
    if first:
        await project(read_model, story.records[:first])
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waits_of(history) == 1, within=15)
    for record in story.records[first:]:
        await project(read_model, [record])
    async with asyncio.timeout(15):
        page = await reading
    assert page.json["version"] == story.version
    assert page.contents == ["answer 0", "question 0"]
    assert waits_of(history) == 0


async def test_what_was_seen_is_waited_for_and_what_there_is_is_answered(
    start, read_model, session
):
    history = await start(history_wait_seconds=0.05)
    session.knows(story := chat(1))
    await project(read_model, story.records[:2])
    page = await history.read(story.id, seen=story.version)
    assert page.json["version"] == 2
    patient = await start(history_wait_seconds=30, history_poll_seconds=30)
    reading = asyncio.create_task(patient.read(story.id, seen=story.version))
    await eventually(lambda: waits_of(patient) == 1, within=15)
    await project(read_model, story.records[2:])
    async with asyncio.timeout(15):
        assert (await reading).json["version"] == story.version


async def test_without_notifications_it_is_looked_for_again(start, read_model, session, tables):
    history = await start(history_wait_seconds=30, history_listen_pause_seconds=60)
    await eventually(lambda: cut_listener(tables), within=15)
    session.knows(story := chat(1))
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waits_of(history) == 1, within=15)
    await project(read_model, story.records)
    async with asyncio.timeout(15):
        assert (await reading).json["version"] == story.version


async def test_a_listener_that_was_cut_off_listens_again(start, read_model, session, tables):
    history = await start(
        history_wait_seconds=30, history_poll_seconds=30, history_listen_pause_seconds=0.01
    )
    await eventually(lambda: cut_listener(tables), within=15)
    await eventually(lambda: listeners(tables), within=15)
    session.knows(story := chat(1))
    reading = asyncio.create_task(history.read(story.id, min_version=story.version))
    await eventually(lambda: waits_of(history) == 1, within=15)
    await project(read_model, story.records)
    async with asyncio.timeout(15):
        assert (await reading).json["version"] == story.version


async def test_a_projection_that_stays_behind_says_how_far_it_is(history, told, session):
    story = await told(chat(1))
    behind = await history.read(story.id, min_version=9)
    assert behind.error == (503, "projection_behind", None)
    assert behind.headers["retry-after"] == "1"
    message = "The history of this session is at version 4, asked for 9."
    assert behind.json["error"]["message"] == message
    session.knows(new := Story())
    behind = await history.read(new.id, min_version=1)
    assert "at version 0, asked for 1." in behind.json["error"]["message"]


async def test_only_so_many_requests_wait_at_once(start, told, session):
    history, story = await start(history_wait_seconds=1, history_waiting=1), await told(chat(1))
    waiting = asyncio.create_task(history.read(story.id, min_version=9))
    await eventually(lambda: waits_of(history) == 1)
    busy = await history.read(story.id, min_version=9)
    assert busy.error == (503, "history_busy", None)
    assert (await history.read(story.id)).status == 200
    assert (await waiting).error == (503, "projection_behind", None)
    assert waits_of(history) == 0


async def test_a_cursor_that_the_awaited_version_brings_is_known_then(start, read_model, session):
    history, story = await start(history_wait_seconds=30), chat(2)
    session.knows(story)
    await project(read_model, story.records[:2])
    newest = story.events[-1].data.reply_id
    reading = asyncio.create_task(history.read(story.id, after=newest, min_version=story.version))
    await eventually(lambda: waits_of(history) == 1)
    await project(read_model, story.records[2:])
    assert len((await reading).contents) == 3


def waits_of(history) -> int:
    return history.movements.waiting


async def listeners(tables) -> int:
    return await tables.connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-history-listen'"
        " AND datname = current_database() AND query LIKE 'LISTEN%'"
    )


async def cut_listener(tables) -> int:
    return await tables.connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'parley-history-listen' AND datname = current_database()"
        " AND query LIKE 'LISTEN%'"
    )
