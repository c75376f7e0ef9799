"""What a person takes away, over HTTP: every branch as JSON, the shown one as Markdown."""

import asyncio
import json

import aiohttp
import pytest
from history_peers.history import authorized
from history_peers.read_model import project
from history_peers.stories import ADA, EVE, NOON, Story, chat, full

from parley_contracts.api_models import Message, SessionShape
from parley_core.auth.principal import Principal
from parley_testing.eventually import eventually


@pytest.fixture
def export(history):
    async def export(path, person=ADA, **query):
        return await history.file(path, person, **query)

    return export


async def test_a_session_is_exported_with_every_branch_and_reads_as_its_history(
    export, history, told
):
    story = await told(full())
    answer = await export(f"/sessions/{story.id}/export")
    assert answer.headers["content-type"] == "application/json"
    name = f'attachment; filename="parley-{story.id}.json"'
    assert answer.headers["content-disposition"] == name
    document = json.loads(answer.body)
    page = await history.read(story.id, order="asc", branches="all", limit=100)
    assert document["messages"] == page.json["data"]
    assert len(document["messages"]) > 5
    session = SessionShape.model_validate(document["session"])
    assert (session.version, session.metadata) == (story.version, {"colour": "red"})


async def test_as_markdown_the_branch_that_is_shown_reads_as_a_conversation(export, told):
    story = Story(title="Plans\nfor # June", metadata={"topic": "travel"})
    first = story.says("Where *to*?")
    story.hears("Rome.")
    story.asks_again(first)
    story.fails("Par")
    await told(story)
    answer = await export(f"/sessions/{story.id}/export", format="markdown")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert (
        answer.body.decode()
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


async def test_a_long_session_comes_whole_whatever_its_length(export, told, monkeypatch):
    monkeypatch.setattr("parley_history.queries.export.export_sessions._MESSAGES", 4)
    for turns in (0, 1, 2, 3, 5):
        story = await told(chat(turns))
        document = json.loads((await export(f"/sessions/{story.id}/export")).body)
        assert len(document["messages"]) == 2 * turns
        assert len({message["id"] for message in document["messages"]}) == 2 * turns
        [Message.model_validate(message) for message in document["messages"]]
        text = (await export(f"/sessions/{story.id}/export", format="markdown")).body.decode()
        assert (text.count("\n## User"), text.count("\n## Assistant")) == (turns, turns)


async def test_everything_of_a_person_is_exported_and_nothing_else(export, told, monkeypatch):
    monkeypatch.setattr("parley_history.queries.export.export_sessions._SESSIONS", 2)
    stories = [await told(Story(title=f"Session {n}")) for n in range(5)]
    stories.append(await told(chat(2)))
    archived, deleted, erased = [chat(1) for _ in range(3)]
    archived.is_archived()
    deleted.is_deleted()
    erased.is_erased()
    temporary = Story(expires_at=NOON)
    for story in (archived, deleted, erased, temporary, chat(1, EVE)):
        await told(story)
    document = json.loads((await export("/export")).body)
    exported = {each["session"]["id"]: each["messages"] for each in document["sessions"]}
    assert exported.keys() == {str(story.id) for story in [*stories, archived]}
    assert len(exported[str(stories[-1].id)]) == 4
    answer = await export("/export", format="markdown")
    assert answer.headers["content-disposition"] == 'attachment; filename="parley.md"'
    text = answer.body.decode()
    assert text.count("\n# ") + text.startswith("# ") == 7
    assert text.endswith("\nEnd of all sessions.\n")
    alone = json.loads((await export(f"/sessions/{temporary.id}/export")).body)["session"]
    assert SessionShape.model_validate(alone).expires_at == NOON
    nothing = json.loads((await export("/export", Principal("default", "new"))).body)
    assert nothing == {"object": "export", "sessions": []}


async def test_who_may_not_read_a_session_may_not_export_it(export, told, session):
    story, erased = await told(chat(1)), chat(1)
    erased.is_erased()
    await told(erased)
    session.stories.pop(erased.id)
    for path, person in ((story.id, EVE), (erased.id, ADA)):
        refused = await export(f"/sessions/{path}/export", person)
        assert refused.error == (404, "session_not_found", None)
    refused = await export(f"/sessions/{story.id}/export", format="docx")
    assert refused.error == (400, "invalid_request", "format")


async def test_what_was_just_written_is_waited_for(start, session, read_model):
    history = await start(history_wait_seconds=30)
    session.knows(story := chat(1))
    asking = asyncio.create_task(history.file(f"/sessions/{story.id}/export", ADA))
    await eventually(lambda: history.movements.waiting == 1)
    await project(read_model, story.records[:2])
    await project(read_model, story.records[2:])
    assert len(json.loads((await asking).body)["messages"]) == 2
    asking = asyncio.create_task(history.file("/export", ADA, seen=f"{story.id}:5"))
    await eventually(lambda: history.movements.waiting == 1)
    story.is_renamed("Later")
    await project(read_model, story.records[-1:])
    [each] = json.loads((await asking).body)["sessions"]
    assert each["session"]["title"] == "Later"


async def test_an_export_that_waits_takes_room_and_one_that_ended_gives_it_back(
    start, session, read_model
):
    history = await start(history_wait_seconds=30, history_exports=1)
    session.knows(story := chat(1))
    path = f"/sessions/{story.id}/export"
    asking = asyncio.create_task(history.file(path, ADA))
    await eventually(lambda: history.movements.waiting == 1)
    for busy in (path, "/export"):
        assert (await history.file(busy, ADA)).error == (503, "history_busy", None)
    await project(read_model, story.records)
    assert (await asking).status == 200
    assert (await history.file(path, EVE)).status == 404
    assert (await history.file("/export", ADA)).status == 200


async def test_an_export_that_breaks_off_can_be_told_from_a_whole_one(
    history, told, tables, monkeypatch, caplog
):
    story = await told(chat(60))
    reads = count_reads(monkeypatch)
    reads.after_first = lambda: tables.connection.execute("DELETE FROM messages")
    with pytest.raises(aiohttp.ClientPayloadError):
        await history.file(f"/sessions/{story.id}/export", ADA)
    assert "an export broke off: ExportInterrupted" in caplog.text
    assert "question" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_nothing_more_is_read_for_a_client_that_left(start, told, monkeypatch):
    history = await start(history_exports=1)
    monkeypatch.setattr("parley_history.queries.export.export_sessions._MESSAGES", 10)
    story = Story()
    for _ in range(120):
        story.imports("x" * 100_000)
    await told(story)
    reads = count_reads(monkeypatch)
    url = f"{history.url}/sessions/{story.id}/export"
    async with history.http.get(url, headers=authorized(ADA)) as answer:
        await answer.content.readany()
        busy = await history.file(f"/sessions/{story.id}/export", ADA)
        assert busy.error == (503, "history_busy", None)
        answer.close()

    async def again():
        return (await history.file(f"/sessions/{story.id}/export", EVE)).status == 404

    await eventually(again)
    assert reads.count < 12


class Reads:
    count = 0
    after_first = None


def count_reads(monkeypatch):
    from parley_history.queries.messages.page_repository import PageRepository

    reads, read = Reads(), PageRepository.read

    async def counted(*arguments):
        page = await read(*arguments)
        reads.count += 1
        if reads.count == 1 and reads.after_first:
            await reads.after_first()
        return page

    monkeypatch.setattr(PageRepository, "read", counted)
    return reads
