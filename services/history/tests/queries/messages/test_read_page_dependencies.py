"""Pages of messages while the session service or the database fails."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient
from history_testing.read_model import ReadModelTables
from history_testing.stories import Story, chat

from parley_core.auth.principal import Principal
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService


async def test_undecryptable_content_is_an_internal_error(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    story.key = Story().key
    broken = await history.read(story.id)
    assert broken.error == (500, "internal_error", None)


async def test_an_invalid_key_response_makes_the_session_service_unavailable(
    history: HistoryClient,
    project_story: ProjectStory,
    session: FakeSessionService,
) -> None:
    story = await project_story(chat(1))
    keys = {str(story.id): base64.b64encode(b"short").decode()}
    session.answers.append(raw(json.dumps({"keys": keys}).encode()))
    assert (await history.read(story.id)).error == (503, "session_unavailable", None)


async def test_a_key_that_no_master_key_unwraps_is_reported_as_such(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    session.errors = {"keys": (503, "key_unavailable")}
    assert (await history.read(story.id)).error == (503, "key_unavailable", None)


async def test_keys_are_requested_once_by_the_service_principal(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story = await project_story(chat(1))
    for _ in range(3):
        assert (await history.read(story.id)).status == 200
    assert session.called("keys") == [{"session_ids": [str(story.id)]}]
    [(path, caller, request_id)] = session.callers
    assert (path, caller, request_id) == ("keys", Principal("parley", "history"), "req-7")


async def test_without_the_session_service_recently_read_sessions_stay_readable(
    history: HistoryClient, project_story: ProjectStory, session: FakeSessionService
) -> None:
    read, unread = await project_story(chat(1)), await project_story(chat(1))
    await history.read(read.id)
    session.errors = dict.fromkeys(("get", "keys"), (500, "internal_error"))
    assert (await history.read(read.id)).contents == ["answer 0", "question 0"]
    for response in (await history.read(unread.id), await history.read(uuid4())):
        assert response.error == (503, "session_unavailable", None)


async def test_without_the_session_service_pages_with_content_are_unavailable(
    start: StartHistory, project_story: ProjectStory
) -> None:
    history, story = await start(session_url="http://127.0.0.1:9"), await project_story(chat(1))
    empty = await project_story(Story())
    for response in (await history.read(story.id), await history.read(uuid4())):
        assert response.error == (503, "session_unavailable", None)
        assert response.headers["retry-after"] == "1"
    assert (await history.read(empty.id)).contents == []


async def test_without_its_database_history_is_unavailable(
    history: HistoryClient,
    project_story: ProjectStory,
    tables: ReadModelTables,
    postgres_server: str,
) -> None:
    story = await project_story(chat(1))
    async with database_closed(postgres_server, tables):
        response = await history.read(story.id)
        assert response.error == (503, "history_unavailable", None)
        assert response.headers["retry-after"] == "1"
        # Another process could not serve either: taking this one out of rotation would not help.
        assert (await history.get("/readyz")).json == {"status": "ok"}

    async def is_available() -> bool:
        return (await history.read(story.id)).status == 200

    await eventually(is_available)


@asynccontextmanager
async def database_closed(postgres_server: str, tables: ReadModelTables) -> AsyncIterator[Any]:
    """Reject new connections to the test's database, and cut those of history."""
    administrator = await asyncpg.connect(postgres_server)
    name = await tables.connection.fetchval("SELECT current_database()")
    try:
        await administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'parley-history%' AND datname = $1",
            name,
        )
        yield
    finally:
        await administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await administrator.close()
