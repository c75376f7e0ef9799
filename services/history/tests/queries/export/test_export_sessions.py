"""Exports over HTTP: every branch as JSON, the current branch as Markdown."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from history_testing.fixtures import ProjectStory, StartHistory
from history_testing.history import HistoryClient, authorization
from history_testing.read_model import ReadModelTables, project
from history_testing.stories import ADA, EVE, NOON, Story, chat, full

from parley_contracts.api_models import Message, SessionShape
from parley_core.auth.principal import Principal
from parley_history.projection.active_read_model import ActiveReadModel
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


@pytest.fixture
def export(history: HistoryClient) -> Any:
    async def export(path: Any, person: Any = ADA, **query: Any) -> Any:
        return await history.download(path, person, **query)

    return export


async def test_a_session_is_exported_with_every_branch_and_reads_as_its_history(
    export: Any, history: HistoryClient, project_story: ProjectStory
) -> None:
    story = await project_story(full())
    response = await export(f"/sessions/{story.id}/export")
    assert response.headers["content-type"] == "application/json"
    name = f'attachment; filename="parley-{story.id}.json"'
    assert response.headers["content-disposition"] == name
    document = json.loads(response.body)
    page = await history.read(story.id, order="asc", branches="all", limit=100)
    assert document["messages"] == page.json["data"]
    assert len(document["messages"]) > 5
    session = SessionShape.model_validate(document["session"])
    assert (session.version, session.metadata) == (story.version, {"colour": "red"})


async def test_markdown_contains_the_current_branch_as_a_conversation(
    export: Any, project_story: ProjectStory
) -> None:
    story = Story(title="Plans\nfor # June", metadata={"topic": "travel"})
    first = story.submit("Where *to*?")
    story.reply("Rome.")
    story.request_reply(first)
    story.fail("Par")
    await project_story(story)
    response = await export(f"/sessions/{story.id}/export", format="markdown")
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert (
        response.body.decode()
        == f"""# Plans for # June

- session: {story.id}
- assistant: helper
- started: 2026-11-24T12:00:00.000000Z
- topic: travel

## User, 2026-11-24T12:00:00.001000Z

Where *to*?

## Assistant, 2026-11-24T12:00:00.005000Z, failed

Par

---
End of session {story.id}.
"""
    )


async def test_a_session_of_any_length_is_exported_completely(
    export: Any, project_story: ProjectStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_history.queries.export.export_sessions._MESSAGES_PER_CHUNK", 4)
    for turns in (0, 1, 2, 3, 5):
        story = await project_story(chat(turns))
        document = json.loads((await export(f"/sessions/{story.id}/export")).body)
        assert len(document["messages"]) == 2 * turns
        assert len({message["id"] for message in document["messages"]}) == 2 * turns
        [Message.model_validate(message) for message in document["messages"]]
        text = (await export(f"/sessions/{story.id}/export", format="markdown")).body.decode()
        assert (text.count("\n## User"), text.count("\n## Assistant")) == (turns, turns)


async def test_exactly_the_sessions_of_the_person_are_exported(
    export: Any, project_story: ProjectStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_history.queries.export.export_sessions._SESSIONS_PER_READ", 2)
    stories = [await project_story(Story(title=f"Session {n}")) for n in range(5)]
    stories.append(await project_story(chat(2)))
    archived, deleted, erased = [chat(1) for _ in range(3)]
    archived.archive()
    deleted.delete()
    erased.erase()
    temporary = Story(expires_at=NOON)
    for story in (archived, deleted, erased, temporary, chat(1, EVE)):
        await project_story(story)
    document = json.loads((await export("/export")).body)
    exported = {each["session"]["id"]: each["messages"] for each in document["sessions"]}
    assert exported.keys() == {str(story.id) for story in [*stories, archived]}
    assert len(exported[str(stories[-1].id)]) == 4
    response = await export("/export", format="markdown")
    assert response.headers["content-disposition"] == 'attachment; filename="parley.md"'
    text = response.body.decode()
    assert text.count("\n# ") + text.startswith("# ") == 7
    assert text.endswith("\nEnd of all sessions.\n")
    alone = json.loads((await export(f"/sessions/{temporary.id}/export")).body)["session"]
    assert SessionShape.model_validate(alone).expires_at == NOON
    nothing = json.loads((await export("/export", Principal("default", "new"))).body)
    assert nothing == {"object": "export", "sessions": []}


async def test_a_session_that_may_not_be_read_may_not_be_exported(
    export: Any, project_story: ProjectStory, session: FakeSessionService
) -> None:
    story, erased = await project_story(chat(1)), chat(1)
    erased.erase()
    await project_story(erased)
    session.sessions.pop(erased.id)
    for path, person in ((story.id, EVE), (erased.id, ADA)):
        response = await export(f"/sessions/{path}/export", person)
        assert response.error == (404, "session_not_found", None)
    response = await export(f"/sessions/{story.id}/export", format="docx")
    assert response.error == (400, "invalid_request", "format")


async def test_an_export_waits_for_recent_writes(
    start: StartHistory, session: FakeSessionService, read_model: ActiveReadModel
) -> None:
    history = await start(wait_seconds=30)
    session.add(story := chat(1))
    exporting = asyncio.create_task(history.download(f"/sessions/{story.id}/export", ADA))
    await eventually(lambda: history.change_feed.waiters == 1)
    await project(read_model, story.records[:2])
    await project(read_model, story.records[2:])
    assert len(json.loads((await exporting).body)["messages"]) == 2
    session.versions = {story.id: story.version + 1}
    exporting = asyncio.create_task(history.download("/export", ADA))
    await eventually(lambda: history.change_feed.waiters == 1)
    story.rename("Later")
    await project(read_model, story.records[-1:])
    [each] = json.loads((await exporting).body)["sessions"]
    assert each["session"]["title"] == "Later"


async def test_a_waiting_export_holds_a_slot_and_a_finished_one_frees_it(
    start: StartHistory, session: FakeSessionService, read_model: ActiveReadModel
) -> None:
    history = await start(wait_seconds=30, max_exports=1)
    session.add(story := chat(1))
    path = f"/sessions/{story.id}/export"
    exporting = asyncio.create_task(history.download(path, ADA))
    await eventually(lambda: history.change_feed.waiters == 1)
    for busy in (path, "/export"):
        assert (await history.download(busy, ADA)).error == (503, "history_busy", None)
    await project(read_model, story.records)
    assert (await exporting).status == 200
    assert (await history.download(path, EVE)).status == 404
    assert (await history.download("/export", ADA)).status == 200


async def test_an_interrupted_export_is_recognisable(
    history: HistoryClient,
    project_story: ProjectStory,
    tables: ReadModelTables,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = await project_story(chat(60))
    reads = count_reads(monkeypatch)
    reads.after_first = lambda: tables.connection.execute("DELETE FROM messages")
    with pytest.raises(aiohttp.ClientPayloadError):
        await history.download(f"/sessions/{story.id}/export", ADA)
    assert "export interrupted: ExportInterrupted" in caplog.text
    assert "question" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_disconnected_client_ends_its_export(
    start: StartHistory, project_story: ProjectStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = await start(max_exports=1)
    monkeypatch.setattr("parley_history.queries.export.export_sessions._MESSAGES_PER_CHUNK", 10)
    story = Story()
    for _ in range(120):
        story.import_message("x" * 100_000)
    await project_story(story)
    reads = count_reads(monkeypatch)
    url = f"{history.url}/sessions/{story.id}/export"
    async with history.http.get(url, headers=authorization(ADA)) as response:
        await response.content.readany()
        busy = await history.download(f"/sessions/{story.id}/export", ADA)
        assert busy.error == (503, "history_busy", None)
        response.close()

    async def again() -> bool:
        return (await history.download(f"/sessions/{story.id}/export", EVE)).status == 404

    await eventually(again)
    assert reads.count < 12


class Reads:
    count = 0
    after_first = None


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Any:
    from parley_history.queries.messages.page_repository import PageRepository

    reads, read = Reads(), PageRepository.read

    async def counted(*arguments: Any) -> Any:
        page = await read(*arguments)
        reads.count += 1
        if reads.count == 1 and reads.after_first:
            await reads.after_first()
        return page

    monkeypatch.setattr(PageRepository, "read", counted)
    return reads
