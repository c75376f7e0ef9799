"""More than one model, and servers with limits: who is asked, and who is left alone."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from inference_peers.model_server import Dies, ModelServer, Refuses, Stalls, chunk, reply

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually


@pytest.fixture
async def stand_in():
    async with ModelServer.serve() as server:
        yield server


@pytest.fixture
def models(tmp_path, model_server, stand_in):
    """The file of a demo model with a fallback; `small` is one without room for any prompt."""

    def models(**limits):
        named = "".join(f", {name}: {value}" for name, value in limits.items())
        file = tmp_path / "models.yaml"
        file.write_text(
            f"""servers:
  - {{base_url: "{model_server.url}"{named}}}
models:
  - {{name: demo, base_url: "{model_server.url}", context_size: 8000, fallbacks: [small, other]}}
  - {{name: small, base_url: "{model_server.url}", context_size: 8}}
  - name: other
    upstream_name: other-2026
    base_url: {stand_in.url}
    context_size: 8000
    price: {{currency: EUR, prompt: 2, completion: 4}}
"""
        )
        return file

    return models


@pytest.fixture
async def inference(start, models):
    return await start(models=models(), upstream_attempts=1)


@pytest.mark.parametrize("steps", [[Refuses(500)], [Refuses(404)], [chunk(""), Dies()]])
async def test_a_fallback_answers_where_the_model_does_not_begin_to(
    inference, model_server, stand_in, session, steps
):
    turn = session.opens()
    model_server.script(*steps)
    stand_in.script(*reply("in", "stead"))
    assert text_of(await inference.events(turn)) == "instead"
    [told] = session.called("complete")
    assert told["model"] == "other"
    assert told["price"] == {"currency": "EUR", "prompt": 2, "completion": 4}
    assert told["usage"]["prompt_tokens"] == 7
    assert [asked["model"] for asked in stand_in.asked] == ["other-2026"]
    assert len(model_server.asked) == 1


async def test_no_fallback_goes_on_with_what_another_model_began(
    inference, model_server, stand_in, session
):
    turn = session.opens()
    model_server.script(chunk("half"), Dies())
    *_, last = await inference.events(turn)
    assert last["error"]["code"] == "upstream_broken"
    assert (turn.reply.content, stand_in.asked) == ("half", [])
    assert "model" not in session.called("fail")[0]


async def test_the_failure_of_the_last_fallback_is_told(inference, model_server, stand_in, session):
    model_server.script(Refuses(500))
    stand_in.script(chunk("half"), Dies())
    *_, last = await inference.events(session.opens())
    assert last["error"]["code"] == "upstream_broken"
    [told] = session.called("fail")
    assert (told["model"], told["price"]["currency"]) == ("other", "EUR")


async def test_a_completion_falls_back_too(inference, model_server, stand_in, session):
    model_server.script(Refuses(500))
    stand_in.script(*reply("instead"))
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with inference.request("POST", "/completions", body=body) as answer:
        assert b'"model":"other"' in await answer.read()
    [record] = await eventually(lambda: session.called("completions"))
    assert (record["model"], record["price"]["currency"]) == ("other", "EUR")


async def test_a_server_gets_so_many_requests_at_once(
    start, models, model_server, stand_in, session
):
    inference = await start(models=models(at_once=1, wait_seconds=60))
    first, second, paused = session.opens(), session.opens(), asyncio.Event()
    model_server.script(chunk("a"), paused, *reply("b"))
    model_server.script(*reply("c"))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(inference.stream(first))
        await one.until_text(1)
        other = asyncio.create_task(inference.events(second))
        await eventually(lambda: second.runner)
        paused.set()
        assert text_of(await other) == "c"
    assert stand_in.asked == []


async def test_without_room_within_the_wait_the_fallback_is_asked(
    start, models, model_server, stand_in, session
):
    inference = await start(models=models(at_once=1, wait_seconds=0.05))
    first, second, third = (session.opens() for _ in range(3))
    model_server.script(chunk("a"), Stalls())
    stand_in.script(*reply("b"))
    async with inference.stream(first) as stream:
        await stream.until_text(1)
        assert text_of(await inference.events(second)) == "b"
        stand_in.script(Refuses(400))
        await inference.events(third)
    assert len(model_server.asked) == 1


async def test_without_room_and_without_a_fallback_the_turn_fails(start, model_server, session):
    inference = await start(upstream_at_once=1, upstream_wait_seconds=0.05)
    first, second = session.opens(), session.opens()
    model_server.script(chunk("a"), Stalls())
    async with inference.stream(first) as stream:
        await stream.until_text(1)
        *_, last = await inference.events(second)
    assert last["error"]["code"] == "upstream_busy"


async def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while(
    start, model_server, session
):
    inference = await start(upstream_failures_in_a_row=3, upstream_open_seconds=0.2)
    for _ in range(3):
        model_server.script(Refuses(500))
    await inference.events(session.opens())
    *_, last = await inference.events(session.opens())
    assert last["error"]["code"] == "upstream_unavailable"
    assert len(model_server.asked) == 3

    async def answers_again():
        if not model_server._scripts:
            model_server.script(*reply("back"))
        return text_of(await inference.events(session.opens())) == "back"

    await eventually(answers_again)
    model_server.script(*reply("back"))
    assert text_of(await inference.events(session.opens())) == "back"


async def test_times_may_be_those_of_one_server(start, models, model_server, stand_in, session):
    inference = await start(models=models(first_token_seconds=0.1))
    model_server.script(Stalls())
    stand_in.script(*reply("b"))
    assert text_of(await inference.events(session.opens())) == "b"


async def test_the_total_time_of_a_server_bounds_all_that_is_tried(
    start, models, model_server, stand_in, session
):
    inference = await start(models=models(total_seconds=0.2))
    model_server.script(Refuses(500))
    for _ in range(2):
        model_server.script(Refuses(500))
    stand_in.script(Stalls())
    async with asyncio.timeout(5):
        *_, last = await inference.events(session.opens())
    assert last["error"]["code"] == "upstream_timeout"


async def test_the_metrics_tell_how_each_server_does(inference, model_server, stand_in, session):
    model_server.script(Refuses(500))
    stand_in.script(*reply("instead"))
    await inference.events(session.opens())
    async with inference.request("GET", "/metrics", principal=None) as answer:
        told = await answer.text()
    asked, other = (f'{{server="{server.url}"' for server in (model_server, stand_in))
    assert f'_upstream_failures_total{{code="upstream_unavailable",{asked[1:]}}} 1.0' in told
    assert f"_upstream_circuit{asked}}} 0.0" in told
    assert f"_first_token_seconds_count{other}}} 1.0" in told
    assert "parley_inference_completions 0.0" in told
