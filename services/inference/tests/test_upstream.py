"""What a model server may do wrong, and what becomes of the reply."""

import asyncio
import logging

import pytest
from inference_peers.inference import KEY
from inference_peers.model_server import (
    DONE,
    Babbles,
    Dies,
    Refuses,
    Stalls,
    chunk,
    event,
    reply,
    usage,
)

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

# Long enough for what does come on a busy machine.
IMPATIENT = {
    "upstream_first_token_seconds": 2,
    "upstream_between_tokens_seconds": 0.4,
    "upstream_after_finish_seconds": 0.2,
}


async def failure(inference, turn):
    """(text, code, sentence) of a turn that failed."""
    *deltas, last = await inference.events(turn)
    assert last["type"] == "reply.failed"
    return text_of(deltas), last["error"]["code"], last["error"]["message"]


@pytest.mark.parametrize(
    "steps",
    [
        [Refuses(429)],
        [Refuses(429, headers={"retry-after": "0"})],
        [Refuses(408)],
        [Refuses(409)],
        [Refuses(500)],
        [Refuses(503, body="<html>")],
        [Dies()],
        [chunk(""), Dies()],
        [chunk("")],
        [event({"error": {"code": 503}})],
    ],
)
async def test_trouble_before_the_first_token_is_tried_again(
    inference, model_server, session, steps
):
    turn = session.opens()
    model_server.script(*steps)
    model_server.script(*reply("second"))
    *deltas, last = await inference.events(turn)
    assert (text_of(deltas), last["type"]) == ("second", "reply.completed")
    assert len(model_server.asked) == 2


@pytest.mark.parametrize(
    ("steps", "code", "attempts"),
    [
        ([Refuses(400)], "upstream_refused", 1),
        ([Refuses(401)], "upstream_refused", 1),
        ([Refuses(403)], "upstream_refused", 1),
        ([Refuses(404)], "upstream_refused", 1),
        ([Refuses(302, headers={"location": "/elsewhere"})], "upstream_refused", 1),
        ([Refuses(408)], "upstream_refused", 3),
        ([Refuses(429)], "upstream_rate_limited", 3),
        ([Refuses(500)], "upstream_unavailable", 3),
        ([Dies()], "upstream_unavailable", 3),
        ([chunk(""), Dies()], "upstream_broken", 3),
        ([b"<html>"], "upstream_garbage", 1),
        ([b"data: {\n\n"], "upstream_garbage", 1),
        ([event({"error": {"code": 400}})], "upstream_refused", 1),
    ],
)
async def test_a_turn_without_a_token_fails_with_a_code(
    inference, model_server, session, steps, code, attempts
):
    turn = session.opens()
    for _ in range(3):
        model_server.script(*steps)
    text, seen, sentence = await failure(inference, turn)
    assert (text, seen) == ("", code)
    assert "secret" not in sentence
    assert len(model_server.asked) == attempts
    [told] = session.called("fail")
    assert told["partial_content"] is None
    # Only a server that began to reply can charge for it.
    assert (told["usage"] is None) == (code != "upstream_broken")


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([Dies()], "upstream_broken"),
        ([], "upstream_broken"),
        ([b'data: {"choices": [{"del'], "upstream_broken"),
        ([b"data: {\n\n"], "upstream_garbage"),
        ([b"data: " + b"x" * 2_000_000], "upstream_garbage"),
        ([event({"error": {"message": "secret", "code": 500}})], "upstream_unavailable"),
        ([Stalls()], "upstream_timeout"),
    ],
    ids=["dies", "ends early", "cut", "garbage", "endless line", "error", "stalls"],
)
async def test_trouble_after_the_first_token_ends_the_turn_with_what_there_is(
    start, model_server, session, steps, code
):
    inference = await start(**IMPATIENT)
    turn = session.opens("12345678")
    model_server.script(chunk("half a "), chunk("reply"), *steps)
    assert (await failure(inference, turn))[:2] == ("half a reply", code)
    [told] = session.called("fail")
    assert told["partial_content"] == "half a reply"
    # Session counted 10 in the window; Be kind. has 8 bytes, half a reply 12.
    assert told["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "estimated": True}
    assert len(model_server.asked) == 1


@pytest.mark.parametrize("steps", [[Stalls()], [chunk(""), Stalls()], [Babbles()]])
async def test_a_server_that_stalls_before_the_first_token_times_out(
    start, model_server, session, steps
):
    inference = await start(upstream_first_token_seconds=0.2, upstream_between_tokens_seconds=0.2)
    model_server.script(*steps)
    async with asyncio.timeout(5):
        text, code, _ = await failure(inference, session.opens())
    assert (text, code) == ("", "upstream_timeout")


async def test_a_reply_that_never_ends_is_bounded_in_time(start, model_server, session):
    inference = await start(upstream_total_seconds=0.1)
    model_server.script(chunk("a"), Stalls())
    assert (await failure(inference, session.opens()))[:2] == ("a", "upstream_timeout")


async def test_a_server_that_is_not_there_is_unavailable(start, session):
    inference = await start(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert (await failure(inference, session.opens()))[1] == "upstream_unavailable"


async def test_a_server_that_does_not_speak_http_is_garbage(start, session):
    async def babble(_, writing):
        writing.write(b"220 mail.example.com ESMTP\r\n")
        writing.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        inference = await start(OPENAI_BASE_URL=f"http://{host}:{port}/v1")
        assert (await failure(inference, session.opens()))[1] == "upstream_garbage"


async def test_a_refusal_counts_before_its_body_is_read(start, model_server, session):
    inference = await start(**IMPATIENT)
    model_server.script(Refuses(400), Stalls())
    assert (await failure(inference, session.opens()))[1] == "upstream_refused"
    await eventually(lambda: model_server.open == 0)


@pytest.mark.parametrize(
    "steps",
    [
        [chunk(None, "stop"), Dies()],
        [chunk(None, "stop"), Stalls()],
        [chunk(None, "stop"), b"data: {\n\n"],
        [chunk(None, "stop")],
        [DONE],
        [DONE, Stalls()],
        [chunk(None, "tool_calls"), DONE],
        [b"data: [DONE]"],
    ],
)
async def test_trouble_after_the_end_leaves_the_reply_whole(start, model_server, session, steps):
    inference = await start(**IMPATIENT)
    turn = session.opens("12345678")
    model_server.script(chunk("whole"), *steps)
    await inference.events(turn)
    assert (turn.status, turn.reply.content) == ("completed", "whole")
    assert turn.reply.finish_reason == "stop"
    assert turn.reply.usage.model_dump() == {
        "prompt_tokens": 12,
        "completion_tokens": 2,
        "total_tokens": 14,
        "estimated": True,
    }


async def test_usage_is_what_the_model_server_counted(inference, model_server, session):
    turn = session.opens()
    model_server.script(chunk("a"), chunk(None, "length"), usage(11, 13), DONE)
    await inference.events(turn)
    [told] = session.called("complete")
    assert told["usage"] == {"prompt_tokens": 11, "completion_tokens": 13, "estimated": False}
    assert told["finish_reason"] == "length"
    assert 0 <= told["first_token_ms"] <= told["total_ms"]


async def test_an_empty_reply_is_a_reply(inference, model_server, session):
    turn = session.opens()
    model_server.script(chunk(None, "content_filter"), DONE)
    [last] = await inference.events(turn)
    assert (last["type"], last["sequence_number"]) == ("reply.completed", 0)
    assert turn.reply.finish_reason == "content_filter"


async def test_half_surrogate_pairs_join_across_chunks_or_are_replaced(
    inference, model_server, session
):
    turn, paused = session.opens(), asyncio.Event()
    model_server.script(chunk("a\ud83d"), paused, chunk("\ude00b"), *reply("\ud83d"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(1) == "a"
        paused.set()
        *deltas, last = await stream.events()
    assert text_of(deltas) == "😀b\ufffd"
    assert (turn.reply.content, last["sequence_number"]) == ("a😀b\ufffd", 4)


async def test_a_reply_over_the_limit_ends_with_length_and_stops_the_model(
    start, model_server, session
):
    inference = await start(inference_reply_bytes=100)
    turn = session.opens()
    model_server.script(chunk("é" * 40), chunk("é" * 40), Stalls())
    *deltas, last = await inference.events(turn)
    assert (text_of(deltas), last["type"]) == ("é" * 49, "reply.completed")
    assert turn.reply.finish_reason == "length"
    assert turn.reply.usage.estimated
    await eventually(lambda: model_server.open == 0)


async def test_a_model_that_is_not_in_the_catalogue_fails_the_turn(
    inference, model_server, session
):
    assert (await failure(inference, session.opens(model="other")))[1] == "model_unknown"
    assert model_server.asked == []


async def test_what_the_model_costs_goes_with_the_reply(
    start, model_server, session, tmp_path, monkeypatch
):
    monkeypatch.setenv("THE_KEY", "sk-of-the-file")
    models = tmp_path / "models.yaml"
    models.write_text(
        f"""models:
  - name: demo
    upstream_name: demo-2026
    base_url: {model_server.url}
    key_variable: THE_KEY
    context_size: 8000
    price: {{currency: EUR, prompt: 400000, completion: 1600000}}
"""
    )
    inference = await start(models=models)
    turn = session.opens()
    model_server.script(*reply("a"))
    await inference.events(turn)
    assert model_server.asked[0]["model"] == "demo-2026"
    assert model_server.keys == ["Bearer sk-of-the-file"]
    [told] = session.called("complete")
    assert told["price"] == {"currency": "EUR", "prompt": 400_000, "completion": 1_600_000}


async def test_without_a_key_none_is_sent(start, model_server, session):
    inference = await start(OPENAI_API_KEY=None)
    model_server.script(*reply("a"))
    await inference.events(session.opens())
    assert model_server.keys == [None]


async def test_one_connection_serves_one_reply_after_another(inference, model_server, session):
    for _ in range(3):
        model_server.script(*reply("a"))
        await inference.events(session.opens())
    assert model_server.connections == 1


async def test_neither_text_nor_key_is_ever_logged(start, model_server, session, caplog):
    caplog.set_level(logging.DEBUG)
    inference = await start(**IMPATIENT)
    for steps in (
        [Refuses(400)],
        [chunk("private words"), b"data: private words\n\n"],
        [chunk("private words"), Stalls()],
        [chunk("private words"), Dies()],
        reply("private words"),
    ):
        model_server.script(*steps)
        await inference.events(session.opens("private words"))
    assert "private" not in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text
