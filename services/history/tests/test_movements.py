import asyncio
import json
from uuid import UUID, uuid4

import pytest
from history_peers.history import authorized
from history_peers.read_model import project
from history_peers.stories import ADA, chat

from parley_core.http.errors import Unavailable
from parley_core.storage.postgres_pool import open_pool
from parley_history.change_feed.listener import ChangeFeed
from parley_history.change_feed.ndjson_stream import ChangeFeedStreams
from parley_history.session_service.key_cache import DataKeyCache
from parley_history.session_service.key_eviction import KeyEviction
from parley_testing.eventually import eventually
from parley_testing.passage import FaultyProxy


def movements() -> ChangeFeed:
    return ChangeFeed(
        "never connected to", seconds=1, poll_seconds=60, pause_seconds=1, look_seconds=1
    )


def streams_of(listening: ChangeFeed, most: int = 10, most_unread: int = 10, alive: float = 60):
    return ChangeFeedStreams(listening, most=most, most_unread=most_unread, alive_seconds=alive)


@pytest.mark.parametrize("payload", ["", "everything", f"{UUID(int=1).hex},soon"])
async def test_a_notification_that_names_no_sessions_is_about_all(payload: str) -> None:
    listening, told = movements(), list[str]()

    class Subscriber:
        def began(self):
            told.append("began")

        def moved(self, session_ids):
            told.append("moved")

        def lost(self):
            told.append("lost")

    with listening.followed_by(Subscriber()):
        listening._on_notification(None, 0, "", payload)
    assert told == ["lost", "began"]


async def test_one_notification_wakes_all_who_wait_for_that_session_once():
    listening, session_id, other_id = movements(), uuid4(), uuid4()
    with (
        listening.of(session_id) as first,
        listening.of(session_id) as second,
        listening.of(other_id) as other,
    ):
        waiting = [asyncio.create_task(one.next()) for one in (first, second, other)]
        await asyncio.sleep(0)
        listening._on_notification(None, 0, "", f"{uuid4().hex},{session_id.hex}")
        await asyncio.gather(*waiting[:2])
        assert not waiting[2].done()
        again = asyncio.create_task(first.next())
        done, _ = await asyncio.wait([again], timeout=0.01)
        assert not done, "it was not told again"
        for task in (again, waiting[2]):
            task.cancel()
        assert listening.waiting == 3
    assert listening.waiting == 0


async def test_what_moves_between_the_look_and_the_wait_still_wakes():
    listening, session_id = movements(), uuid4()
    with listening.of(session_id) as movement:
        listening._on_notification(None, 0, "", session_id.hex)
        async with asyncio.timeout(5):
            await movement.next()


async def test_a_stream_says_that_it_listens_and_then_all_that_moves():
    listening = movements()
    lines = streams_of(listening).open()
    first = asyncio.create_task(anext(lines))
    await asyncio.sleep(0)
    listening._begin()
    assert await first == b'{"listening":true}\n'
    a, b, c = (uuid4() for _ in range(3))
    listening._on_notification(None, 0, "", f"{a.hex},{b.hex}")
    listening._on_notification(None, 0, "", c.hex)
    assert await anext(lines) == f'{{"moved":["{a}","{b}"]}}\n{{"moved":["{c}"]}}\n'.encode()


async def test_a_stream_with_nothing_to_say_says_that_it_is_alive():
    listening = movements()
    lines = streams_of(listening, alive=0.01).open()
    assert await anext(lines) == b"\n"
    listening._begin()
    assert [await anext(lines), await anext(lines)] == [b'{"listening":true}\n', b"\n"]


async def test_a_stream_ends_when_its_connection_breaks_even_with_lines_unread():
    listening = movements()
    lines = streams_of(listening).open()
    listening._begin()
    await anext(lines)
    listening._on_notification(None, 0, "", uuid4().hex)
    listening._on_loss(asyncio.Event())
    assert [line async for line in lines] == []
    assert listening._followers == []


async def test_when_everything_may_have_changed_streams_end_and_all_who_wait_look_again():
    listening = movements()
    followed, again = streams_of(listening).open(), streams_of(listening).open()
    listening._begin()
    await anext(followed)
    with listening.of(uuid4()) as one, listening.of(uuid4()) as other:
        waiting = [asyncio.create_task(each.next()) for each in (one, other)]
        await asyncio.sleep(0)
        listening._on_notification(None, 0, "", "")
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
    assert [line async for line in followed] == []
    assert await anext(again) == b'{"listening":true}\n'


async def test_a_reader_that_is_too_far_behind_is_ended_alone():
    listening = movements()
    streams = streams_of(listening, most_unread=2)
    slow, quick = streams.open(), streams.open()
    listening._begin()
    for lines in (slow, quick):
        await anext(lines)
    for _ in range(3):
        listening._on_notification(None, 0, "", uuid4().hex)
        await anext(quick)
    assert [line async for line in slow] == []
    listening._on_notification(None, 0, "", uuid4().hex)
    assert b"moved" in await anext(quick)


async def test_only_so_many_follow_and_the_process_can_end_them_all():
    streams = streams_of(movements(), most=1, alive=0.01)
    lines = streams.open()
    await anext(lines)
    with pytest.raises(Unavailable):
        streams.open()
    streams.end()
    assert [line async for line in lines] == []
    await anext(streams.open())


async def test_over_http_a_stream_tells_what_is_projected_and_ends_with_its_connection(
    start, told, tables
):
    history = await start(history_listen_pause_seconds=60)
    url = f"{history.url}/movements"
    async with history.http.get(url, headers=authorized(ADA)) as answer, asyncio.timeout(10):
        lines = answer.content
        assert await anext(_told_in(lines)) == {"listening": True}
        story = await told(chat(1))
        assert await anext(_told_in(lines)) == {"moved": [str(story.id)]}
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
        own = " AND datname = current_database()"
        await tables.connection.execute(cut + own, "parley-history-listen")
        assert [line async for line in _told_in(lines)] == []
    async with history.http.get(url) as answer:
        assert answer.status == 401


async def test_a_stream_ends_when_the_database_falls_silent_without_a_word(tables):
    async with FaultyProxy.to(tables.dsn) as passage:
        listening = ChangeFeed(
            passage.database, seconds=5, poll_seconds=60, pause_seconds=60, look_seconds=0.05
        )
        lines = streams_of(listening).open()
        running = asyncio.create_task(listening.listen())
        async with asyncio.timeout(10):
            assert await anext(lines) == b'{"listening":true}\n'
            passage.silence()
            assert [line async for line in lines] == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_key_of_a_session_is_forgotten_when_its_erasure_is_projected(
    tables, told, read_model
):
    erased, deleted, kept, late = [await told(chat(1)) for _ in range(4)]
    secrets = {story.id: story.key for story in (erased, deleted, kept, late)}

    async def ask(ids, _):
        return {id: secrets[id] for id in ids}

    keys = DataKeyCache(ask, most=10, seconds=60)
    await keys.of_many([erased.id, deleted.id, kept.id, late.id], "r")
    async with open_pool(
        tables.dsn, max_connections=1, timeout_seconds=5, application_name="test"
    ) as pool:
        forgetting = KeyEviction(pool, keys, pause_seconds=1)
        running = asyncio.create_task(forgetting.run())
        for story in (erased, deleted, late):
            story.is_deleted() if story is deleted else story.is_erased()
            await project(read_model, story.records[-1:])
        forgetting.moved([erased.id, deleted.id, kept.id])
        await eventually(lambda: {*keys.kept} == {kept.id, late.id})
        # What moved while nobody listened is looked at when somebody does again.
        forgetting.began()
        await eventually(lambda: keys.kept == [kept.id])
        running.cancel()


async def _told_in(lines):
    async for line in lines:
        if line != b"\n":
            yield json.loads(line)
