"""Titles and summaries after a reply, and their isolation from the turns."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import ErrorStatus, ModelServer, Stalls, Step, chunk, reply, usage

from parley_inference.background import post_reply_tasks
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

PRIVATE = "private words"


def request_title(session: FakeSessionService) -> None:
    session.requested_tasks = {"suggest_title": True, "compact": None}


def request_summary(session: FakeSessionService, up_to: str, *messages: dict[str, str]) -> None:
    compact = {"up_to_message_id": up_to, "messages": [*messages]}
    session.requested_tasks = {"suggest_title": False, "compact": compact}


async def test_a_title_is_suggested_once_the_reply_is_committed(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("Where is the harbour?")
    request_title(session)
    model_server.script(*reply("By the ", "sea."))
    model_server.script(*reply('"The harbour', '."'))
    assert (await inference.events(turn))[-1]["type"] == "reply.completed"
    [body] = await eventually(lambda: session.called("title"))
    assert body == {
        "title": "The harbour",
        "model": "demo",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
    [_, request] = model_server.requests
    assert request["messages"][1]["content"] == (
        "Person: Where is the harbour?\n\nReply: By the sea."
    )
    assert [call.name for call in session.calls] == ["claim", "complete", "title"]


async def test_an_endless_title_is_cut_off(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    request_title(session)
    model_server.script(*reply("a"))
    model_server.script(chunk("word " * 10_000), Stalls())
    await inference.events(turn)
    [body] = await eventually(lambda: session.called("title"))
    assert len(body["title"]) <= 80
    assert body["usage"]["estimated"]
    await eventually(lambda: model_server.open == 0)


async def test_a_summary_covers_the_messages_that_session_requested(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    first = session.open_turn("My name is Ada.")
    earlier = {"id": str(uuid4()), "role": "user", "content": "I like tea."}
    request_summary(session, str(first.message_id), earlier)
    model_server.script(*reply("Noted."))
    model_server.script(*reply("Ada likes", " tea. "))
    await inference.events(first)
    [body] = await eventually(lambda: session.called("compaction"))
    assert body == {
        "up_to_message_id": str(first.message_id),
        "summary": "Ada likes tea.",
        "tokens": 2,
        "model": "demo",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
    summarised = model_server.requests[1]["messages"][1]["content"]
    assert summarised == "Person: I like tea.\n\nPerson: My name is Ada."


async def test_the_summary_is_part_of_the_system_message(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("And now?")
    messages = [
        {"id": None, "role": "system", "content": "Ada likes tea."},
        {"id": str(turn.message_id), "role": "user", "content": "And now?"},
    ]
    session.contexts = [{"messages": messages}]
    model_server.script(*reply("Tea."))
    await inference.events(turn)
    [system, user] = model_server.requests[0]["messages"]
    assert system["content"].startswith("Be kind.")
    assert system["content"].endswith("Ada likes tea.")
    assert user["content"] == "And now?"


@pytest.mark.parametrize("setting", ["titles", "compaction"])
async def test_each_task_can_be_disabled(
    start: Start, model_server: ModelServer, session: FakeSessionService, setting: str
) -> None:
    inference, turn = await start(post_reply_tasks={setting: False}), session.open_turn()
    request_summary(session, str(turn.message_id))
    session.requested_tasks["suggest_title"] = True
    model_server.script(*reply("a"))
    model_server.script(*reply("b"))
    await inference.events(turn)
    done = {"titles": "compaction", "compaction": "title"}[setting]
    await eventually(lambda: session.called(done))
    assert len(model_server.requests) == 2


async def test_a_failed_task_affects_no_turn_and_logs_no_text(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inference = await start(upstream={"max_attempts": 1})
    request_title(session)
    failing: list[list[Step]] = [
        [ErrorStatus(500)],
        [b"data: " + PRIVATE.encode() + b"\n\n"],
        reply("A title"),
    ]
    session.errors["title"] = (500, "broken")
    for script in failing:
        turn = session.open_turn(PRIVATE)
        model_server.script(*reply("fine"))
        model_server.script(*script)
        events = await inference.events(turn)
        assert (text_of(events), events[-1]["type"]) == ("fine", "reply.completed")
    await eventually(lambda: caplog.text.count("title of session") == len(failing))
    assert "upstream_unavailable" in caplog.text
    assert PRIVATE not in caplog.text


async def test_a_slow_task_delays_no_turn_and_times_out(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(post_reply_tasks, "TITLE_TIMEOUT_SECONDS", 0.3)
    request_title(session)
    model_server.script(*reply("a"))
    model_server.script(Stalls())
    first = session.open_turn()
    await inference.events(first)
    await eventually(lambda: model_server.open == 1)
    session.requested_tasks["suggest_title"] = False
    model_server.script(*reply("b"))
    second = session.open_turn(session_id=first.session_id)
    assert text_of(await inference.events(second)) == "b"
    await eventually(lambda: "timed out" in caplog.text)
    await eventually(lambda: model_server.open == 0)


async def test_tasks_beyond_the_limit_are_skipped(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(post_reply_tasks, "MAX_TASKS", 1)
    request_title(session)
    release = asyncio.Event()
    model_server.script(*reply("a"))
    model_server.script(release, *reply("One"))
    await inference.events(session.open_turn())
    await eventually(lambda: model_server.open == 1)
    model_server.script(*reply("b"))
    await inference.events(session.open_turn())
    release.set()
    await eventually(lambda: session.called("title"))
    assert len(model_server.requests) == 3


async def test_a_failed_reply_gets_no_title(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference, turn = await start(upstream={"max_attempts": 1}), session.open_turn()
    request_title(session)
    model_server.script(ErrorStatus(400))
    assert (await inference.events(turn))[-1]["type"] == "reply.failed"
    model_server.script(*reply("a"))
    model_server.script(*reply("Title"))
    await inference.events(session.open_turn())
    await eventually(lambda: session.called("title"))
    assert len(model_server.requests) == 3


async def test_shutdown_cancels_a_title_at_its_deadline(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference, turn = await start(drain={"seconds": 1}), session.open_turn()
    request_title(session)
    model_server.script(*reply("a"))
    model_server.script(Stalls())
    await inference.events(turn)
    await eventually(lambda: model_server.open == 1)
    began = asyncio.get_running_loop().time()
    inference.app.state.begin_drain()
    await eventually(lambda: model_server.open == 0)
    assert asyncio.get_running_loop().time() - began < 3
    assert session.called("title") == []


async def test_the_price_of_the_model_is_reported_with_the_title(
    start: Start, model_server: ModelServer, session: FakeSessionService, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        "models: [{name: demo, context_size: 900, reply_tokens: 50, "
        f"base_url: '{model_server.url}', price: {{currency: EUR, prompt: 1, completion: 2}}}}]"
    )
    inference, turn = await start(models_path=models), session.open_turn()
    request_title(session)
    model_server.script(*reply("a"))
    model_server.script(chunk("T", "stop"), usage(9, 1))
    await inference.events(turn)
    [body] = await eventually(lambda: session.called("title"))
    assert body["price"] == {"currency": "EUR", "prompt": 1, "completion": 2}
    assert session.called("claim")[0]["budgets"] == {"demo": 850}
    assert [request["max_completion_tokens"] for request in model_server.requests] == [50, 50]


async def test_a_message_too_long_for_the_model_fails_the_turn(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("long")
    session.contexts = [{"budget": 100, "tokens": 101}]
    [*_, last] = await inference.events(turn)
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "context_too_long")
    assert model_server.requests == []


async def test_nothing_of_an_erased_session_stays_cached(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("one")
    other = session.open_turn("other")
    for each in (turn, other):
        model_server.script(*reply("uno"))
        await inference.events(each)
    del session.turns[turn.id]
    session.erased = {turn.session_id}
    # Heartbeats go on while text is cached, though no turn runs.
    session.heartbeats.clear()
    await eventually(lambda: session.heartbeats.count([]) > 1)
    assert (await inference.error(turn.id))[1] == "turn_not_found"
    assert text_of(await inference.events(other)) == "uno"
    session.erased = set()
    following = session.open_turn("two", session_id=turn.session_id)
    model_server.script(*reply("dos"))
    await inference.events(following)
    assert session.called("claim")[-1].get("since") is None


async def test_a_running_turn_of_an_erased_session_is_stopped(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn("one")
    model_server.script(chunk("as far as"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(9)
        del session.turns[turn.id]
        session.erased = {turn.session_id}
        assert await stream.events() == []
    await eventually(lambda: model_server.open == 0)
    assert (session.called("complete"), session.called("fail")) == ([], [])
