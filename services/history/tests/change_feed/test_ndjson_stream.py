"""The change feed: notifications, waiting requests and the stream for gateways."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import authorization
from history_testing.read_model import ReadModelTables
from history_testing.stories import ADA, chat

from parley_core.http.errors import Unavailable
from parley_history.change_feed import listener, ndjson_stream
from parley_history.change_feed.listener import ChangeFeed
from parley_history.change_feed.ndjson_stream import ChangeFeedStreams
from parley_history.storage.database import DatabaseSettings
from parley_testing.passage import FaultyProxy


@pytest.fixture(autouse=True)
def long_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither polls nor keepalives, unless a test sets shorter intervals."""
    monkeypatch.setattr(listener, "POLL_INTERVAL_SECONDS", 60)
    monkeypatch.setattr(ndjson_stream, "KEEPALIVE_SECONDS", 60)


def unconnected_feed() -> ChangeFeed:
    return ChangeFeed(DatabaseSettings(url="postgresql://127.0.0.1/unused"))


@pytest.mark.parametrize("payload", ["", "everything", f"{UUID(int=1).hex},soon"])
async def test_a_notification_without_session_ids_stands_for_all_sessions(payload: str) -> None:
    feed, calls = unconnected_feed(), list[str]()

    class Subscriber:
        def started(self) -> None:
            calls.append("started")

        def changed(self, session_ids: Any) -> None:
            calls.append("changed")

        def interrupted(self) -> None:
            calls.append("interrupted")

    with feed.subscribed(Subscriber()):
        feed._on_notification(None, 0, "", payload)
    assert calls == ["interrupted", "started"]


async def test_a_notification_wakes_all_waiters_of_its_session_once() -> None:
    feed, session_id, other_id = unconnected_feed(), uuid4(), uuid4()
    with (
        feed.watch(session_id) as first,
        feed.watch(session_id) as second,
        feed.watch(other_id) as other,
    ):
        waiting = [asyncio.create_task(each.wait()) for each in (first, second, other)]
        await asyncio.sleep(0)
        feed._on_notification(None, 0, "", f"{uuid4().hex},{session_id.hex}")
        await asyncio.gather(*waiting[:2])
        assert not waiting[2].done()
        again = asyncio.create_task(first.wait())
        done, _ = await asyncio.wait([again], timeout=0.01)
        assert not done, "one notification woke it twice"
        for task in (again, waiting[2]):
            task.cancel()
        assert feed.waiters == 3
    assert feed.waiters == 0


async def test_a_change_between_read_and_wait_still_wakes() -> None:
    feed, session_id = unconnected_feed(), uuid4()
    with feed.watch(session_id) as subscription:
        feed._on_notification(None, 0, "", session_id.hex)
        async with asyncio.timeout(5):
            await subscription.wait()


async def test_a_stream_announces_that_it_listens_and_then_sends_all_changes() -> None:
    feed = unconnected_feed()
    lines = ChangeFeedStreams(feed).open()
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    feed._start()
    assert await first == b'{"listening":true}\n'
    a, b, c = (uuid4() for _ in range(3))
    feed._on_notification(None, 0, "", f"{a.hex},{b.hex}")
    feed._on_notification(None, 0, "", c.hex)
    assert await anext(lines) == f'{{"changed":["{a}","{b}"]}}\n{{"changed":["{c}"]}}\n'.encode()


async def test_an_idle_stream_sends_keepalives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson_stream, "KEEPALIVE_SECONDS", 0.01)
    feed = unconnected_feed()
    lines = ChangeFeedStreams(feed).open()
    assert await anext(lines) == b"\n"
    feed._start()
    assert [await anext(lines), await anext(lines)] == [b'{"listening":true}\n', b"\n"]


async def test_a_stream_ends_on_disconnect_even_with_unread_lines() -> None:
    feed = unconnected_feed()
    lines = ChangeFeedStreams(feed).open()
    feed._start()
    await anext(lines)
    feed._on_notification(None, 0, "", uuid4().hex)
    feed._on_loss(asyncio.Event())
    assert [line async for line in lines] == []
    assert feed._subscribers == []


async def test_a_notification_for_all_sessions_ends_streams_and_wakes_all_waiters() -> None:
    feed = unconnected_feed()
    followed, again = ChangeFeedStreams(feed).open(), ChangeFeedStreams(feed).open()
    feed._start()
    await anext(followed)
    with feed.watch(uuid4()) as one, feed.watch(uuid4()) as other:
        waiting = [asyncio.create_task(each.wait()) for each in (one, other)]
        await asyncio.sleep(0)
        feed._on_notification(None, 0, "", "")
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
    assert [line async for line in followed] == []
    assert await anext(again) == b'{"listening":true}\n'


async def test_only_the_stream_of_a_slow_reader_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson_stream, "MAX_QUEUED_LINES", 2)
    feed = unconnected_feed()
    streams = ChangeFeedStreams(feed)
    slow, quick = streams.open(), streams.open()
    feed._start()
    for lines in (slow, quick):
        await anext(lines)
    for _ in range(3):
        feed._on_notification(None, 0, "", uuid4().hex)
        await anext(quick)
    assert [line async for line in slow] == []
    feed._on_notification(None, 0, "", uuid4().hex)
    assert b"changed" in await anext(quick)


async def test_the_number_of_streams_is_limited_and_all_can_be_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ndjson_stream, "MAX_STREAMS", 1)
    monkeypatch.setattr(ndjson_stream, "KEEPALIVE_SECONDS", 0.01)
    streams = ChangeFeedStreams(unconnected_feed())
    lines = streams.open()
    await anext(lines)
    with pytest.raises(Unavailable):
        streams.open()
    streams.end()
    assert [line async for line in lines] == []
    await anext(streams.open())


async def test_over_http_a_stream_sends_projected_changes_and_ends_on_disconnect(
    start: StartHistory,
    project_story: ProjectStory,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "RECONNECT_INITIAL_SECONDS", 60)
    monkeypatch.setattr(listener, "RECONNECT_MAX_SECONDS", 60)
    history = await start()
    url = f"{history.url}/changes"
    async with history.http.get(url, headers=authorization(ADA)) as response, asyncio.timeout(10):
        lines = response.content
        assert await anext(_documents_in(lines)) == {"listening": True}
        story = await project_story(chat(1))
        assert await anext(_documents_in(lines)) == {"changed": [str(story.id)]}
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
        own = " AND datname = current_database()"
        await tables.connection.execute(cut + own, "parley-history-listen")
        assert [line async for line in _documents_in(lines)] == []
    async with history.http.get(url) as response:
        assert response.status == 401


async def test_a_stream_ends_when_the_database_stops_responding(
    tables: ReadModelTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEALTH_CHECK_INTERVAL_SECONDS", 0.05)
    async with FaultyProxy.to(tables.dsn) as proxy:
        feed = ChangeFeed(DatabaseSettings(url=proxy.database))
        lines = ChangeFeedStreams(feed).open()
        running = asyncio.create_task(feed.listen())
        async with asyncio.timeout(10):
            assert await anext(lines) == b'{"listening":true}\n'
            proxy.silence()
            assert [line async for line in lines] == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _documents_in(lines: Any) -> AsyncIterator[Any]:
    async for line in lines:
        if line != b"\n":
            yield json.loads(line)
