"""What follows a reply: a title, a summary; and that no turn is worse off for it."""

import asyncio
from uuid import uuid4

import pytest
from inference_peers.model_server import Refuses, Stalls, chunk, reply, usage

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

PRIVATE = "private words"


def wants_title(session) -> None:
    session.wishes = {"suggest_title": True, "compact": None}


def wants_summary(session, up_to: str, *messages: dict[str, str]) -> None:
    compact = {"up_to_message_id": up_to, "messages": [*messages]}
    session.wishes = {"suggest_title": False, "compact": compact}


async def test_a_title_is_suggested_once_the_reply_is_told(inference, model_server, session):
    turn = session.opens("Where is the harbour?")
    wants_title(session)
    model_server.script(*reply("By the ", "sea."))
    model_server.script(*reply('"The harbour', '."'))
    assert (await inference.events(turn))[-1]["type"] == "reply.completed"
    [told] = await eventually(lambda: session.called("title"))
    assert told == {
        "title": "The harbour",
        "model": "demo",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "estimated": False},
        "price": None,
    }
    [_, asked] = model_server.asked
    assert asked["messages"][1]["content"] == (
        "Person: Where is the harbour?\n\nReply: By the sea."
    )
    assert [name for name, _ in session.calls] == ["claim", "complete", "title"]


async def test_a_model_that_does_not_come_to_its_end_is_cut_off(inference, model_server, session):
    turn = session.opens()
    wants_title(session)
    model_server.script(*reply("a"))
    model_server.script(chunk("word " * 1_000), Stalls())
    await inference.events(turn)
    [told] = await eventually(lambda: session.called("title"))
    assert len(told["title"]) <= 80
    assert told["usage"]["estimated"]
    await eventually(lambda: model_server.open == 0)


async def test_a_summary_is_made_of_what_session_named(inference, model_server, session):
    first = session.opens("My name is Ada.")
    left = {"id": str(uuid4()), "role": "user", "content": "I like tea."}
    wants_summary(session, str(first.message_id), left)
    model_server.script(*reply("Noted."))
    model_server.script(*reply("Ada likes", " tea. "))
    await inference.events(first)
    [told] = await eventually(lambda: session.called("compaction"))
    assert told == {
        "up_to_message_id": str(first.message_id),
        "summary": "Ada likes tea.",
        "tokens": 2,
        "model": "demo",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "estimated": False},
        "price": None,
    }
    summarised = model_server.asked[1]["messages"][1]["content"]
    assert summarised == "Person: I like tea.\n\nPerson: My name is Ada."


async def test_the_next_window_begins_with_the_summary(inference, model_server, session):
    turn = session.opens("And now?")
    messages = [
        {"id": None, "role": "system", "content": "Ada likes tea."},
        {"id": str(turn.message_id), "role": "user", "content": "And now?"},
    ]
    session.contexts = [{"messages": messages}]
    model_server.script(*reply("Tea."))
    await inference.events(turn)
    [told, asked] = model_server.asked[0]["messages"]
    assert told["content"].startswith("Be kind.")
    assert told["content"].endswith("Ada likes tea.")
    assert asked["content"] == "And now?"


@pytest.mark.parametrize("setting", ["inference_titles", "inference_compaction"])
async def test_either_can_be_turned_off(start, model_server, session, setting):
    inference, turn = await start(**{setting: False}), session.opens()
    wants_summary(session, str(turn.message_id))
    session.wishes["suggest_title"] = True
    model_server.script(*reply("a"))
    model_server.script(*reply("b"))
    await inference.events(turn)
    done = {"inference_titles": "compaction", "inference_compaction": "title"}[setting]
    await eventually(lambda: session.called(done))
    assert len(model_server.asked) == 2


async def test_when_it_fails_the_turns_go_on_and_no_word_is_logged(
    start, model_server, session, caplog
):
    inference = await start(upstream_attempts=1)
    wants_title(session)
    failing = [[Refuses(500)], [b"data: " + PRIVATE.encode() + b"\n\n"], reply("A title")]
    session.refuses["title"] = (500, "broken")
    for script in failing:
        turn = session.opens(PRIVATE)
        model_server.script(*reply("fine"))
        model_server.script(*script)
        events = await inference.events(turn)
        assert (text_of(events), events[-1]["type"]) == ("fine", "reply.completed")
    await eventually(lambda: caplog.text.count("title of session") == len(failing))
    assert "upstream_unavailable" in caplog.text
    assert PRIVATE not in caplog.text


async def test_one_that_is_slow_holds_up_no_turn_and_is_given_up_in_time(
    start, model_server, session, caplog
):
    inference = await start(inference_title_seconds=0.3)
    wants_title(session)
    model_server.script(*reply("a"))
    model_server.script(Stalls())
    first = session.opens()
    await inference.events(first)
    await eventually(lambda: model_server.open == 1)
    session.wishes["suggest_title"] = False
    model_server.script(*reply("b"))
    second = session.opens(session_id=first.session_id)
    assert text_of(await inference.events(second)) == "b"
    await eventually(lambda: "not in time" in caplog.text)
    await eventually(lambda: model_server.open == 0)


async def test_only_so_many_run_at_once(start, model_server, session):
    inference = await start(inference_afterwards=1)
    wants_title(session)
    release = asyncio.Event()
    model_server.script(*reply("a"))
    model_server.script(release, *reply("One"))
    await inference.events(session.opens())
    await eventually(lambda: model_server.open == 1)
    model_server.script(*reply("b"))
    await inference.events(session.opens())
    release.set()
    await eventually(lambda: session.called("title"))
    assert len(model_server.asked) == 3


async def test_a_reply_that_failed_gets_no_title(start, model_server, session):
    inference, turn = await start(upstream_attempts=1), session.opens()
    wants_title(session)
    model_server.script(Refuses(400))
    assert (await inference.events(turn))[-1]["type"] == "reply.failed"
    model_server.script(*reply("a"))
    model_server.script(*reply("Title"))
    await inference.events(session.opens())
    await eventually(lambda: session.called("title"))
    assert len(model_server.asked) == 3


async def test_the_end_waits_for_a_title_no_longer_than_its_limit(start, model_server, session):
    inference, turn = await start(inference_drain_seconds=1), session.opens()
    wants_title(session)
    model_server.script(*reply("a"))
    model_server.script(Stalls())
    await inference.events(turn)
    await eventually(lambda: model_server.open == 1)
    began = asyncio.get_running_loop().time()
    inference.app.state.begin_drain()
    await eventually(lambda: model_server.open == 0)
    assert asyncio.get_running_loop().time() - began < 3
    assert session.called("title") == []


async def test_what_costs_a_model_is_told_with_the_title(start, model_server, session, tmp_path):
    models = tmp_path / "models.yaml"
    models.write_text(
        "models: [{name: demo, context_size: 900, reply_tokens: 50, "
        f"base_url: '{model_server.url}', price: {{currency: EUR, prompt: 1, completion: 2}}}}]"
    )
    inference, turn = await start(models=models), session.opens()
    wants_title(session)
    model_server.script(*reply("a"))
    model_server.script(chunk("T", "stop"), usage(9, 1))
    await inference.events(turn)
    [told] = await eventually(lambda: session.called("title"))
    assert told["price"] == {"currency": "EUR", "prompt": 1, "completion": 2}
    assert session.called("claim")[0]["budgets"] == {"demo": 850}
    assert [asked["max_completion_tokens"] for asked in model_server.asked] == [50, 50]


async def test_a_message_that_is_too_long_for_the_model_fails_the_turn(
    inference, model_server, session
):
    turn = session.opens("long")
    session.contexts = [{"budget": 100, "tokens": 101}]
    [*_, last] = await inference.events(turn)
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "context_too_long")
    assert model_server.asked == []


async def test_nothing_is_kept_of_a_session_that_was_erased(inference, model_server, session):
    turn = session.opens("one")
    kept = session.opens("other")
    for each in (turn, kept):
        model_server.script(*reply("uno"))
        await inference.events(each)
    del session.turns[turn.id]
    session.erased = [str(turn.session_id)]
    # By beats that name no turn, it hears of it all the same.
    session.beats.clear()
    await eventually(lambda: session.beats.count([]) > 1)
    assert (await inference.error(turn.id))[1] == "turn_not_found"
    assert text_of(await inference.events(kept)) == "uno"
    session.erased = []
    following = session.opens("two", session_id=turn.session_id)
    model_server.script(*reply("dos"))
    await inference.events(following)
    assert session.called("claim")[-1]["since"] is None


async def test_a_turn_that_runs_in_a_session_that_was_erased_is_stopped(
    inference, model_server, session
):
    turn = session.opens("one")
    model_server.script(chunk("as far as"), Stalls())
    async with inference.stream(turn) as stream:
        await stream.until_text(9)
        del session.turns[turn.id]
        session.erased = [str(turn.session_id)]
        assert await stream.events() == []
    await eventually(lambda: model_server.open == 0)
    assert (session.called("complete"), session.called("fail")) == ([], [])
