"""Completions without a conversation: relayed as the model server says them, and accounted for."""

import asyncio
import json

import pytest
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
from inference_peers.session import ADA

from parley_testing.eventually import eventually

ASKED = {"model": "demo", "messages": [{"role": "user", "content": "12345678"}]}
STREAM = ASKED | {"stream": True}
WHOLE = {
    "id": "theirs",
    "object": "chat.completion",
    "model": "theirs-too",
    "choices": [{"index": 0, "message": {"content": "Hi", "odd": 1.50}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    "system_fingerprint": "fp",
}


async def streamed(inference, **more):
    """The data of each event."""
    async with inference.request("POST", "/completions", body=STREAM | more) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        events = (await answer.text()).removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    data = [event.removeprefix("data: ") for event in events]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


async def refused(inference, body=ASKED):
    async with inference.request("POST", "/completions", body=body) as answer:
        return answer.status, (await answer.json())["error"]["code"]


async def recorded(session):
    [record] = await eventually(lambda: session.called("completions"))
    return record


async def test_events_pass_through_but_for_their_id_and_model(inference, model_server, session):
    call = {"index": 0, "function": {"name": "look", "arguments": "{}"}, "odd": [1.50]}
    odd = {"id": "theirs", "model": "theirs", "choices": [{"delta": {"tool_calls": [call]}}]}
    model_server.script(event(odd), b": a comment\n\n", *reply("a"))
    tools = [{"type": "function", "function": {"name": "look"}}]
    called, said, finished, done = await streamed(inference, tools=tools, temperature=0.5)
    assert called["choices"] == odd["choices"]
    assert called["id"] == said["id"] == finished["id"]
    assert called["id"].startswith("chatcmpl-")
    assert {called["model"], said["model"]} == {"demo"}
    assert (said["object"], done) == ("chat.completion.chunk", "[DONE]")
    [asked] = model_server.asked
    assert (asked["tools"], asked["temperature"]) == (tools, 0.5)


async def test_usage_is_always_asked_for_and_told_to_who_asked(inference, model_server):
    for _ in range(2):
        model_server.script(*reply("a"))
    *_, told, _ = await streamed(inference, stream_options={"include_usage": True})
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 1}
    *events, _ = await streamed(inference)
    assert not any("usage" in event for event in events)
    assert [asked["stream_options"] for asked in model_server.asked] == [
        {"include_usage": True}
    ] * 2


async def test_a_whole_answer_passes_through_but_for_its_id_and_model(inference, model_server):
    model_server.script(json.dumps(WHOLE).encode())
    async with inference.request("POST", "/completions", body=ASKED) as answer:
        told = await answer.json()
    assert told["id"].startswith("chatcmpl-")
    assert told == WHOLE | {"id": told["id"], "model": "demo"}
    assert model_server.asked == [ASKED | {"stream": False}]


async def test_half_a_surrogate_pair_passes_through(inference, model_server):
    model_server.script(chunk("\ud83d"), *reply("\ude00"))
    events = await streamed(inference)
    assert [each["choices"][0]["delta"] for each in events[:2]] == [
        {"content": "\ud83d"},
        {"content": "\ude00"},
    ]


@pytest.mark.parametrize("body", [STREAM, ASKED])
async def test_what_it_used_is_recorded_in_the_name_of_who_asked(
    inference, model_server, session, body
):
    model_server.script(*(reply("a") if "stream" in body else [json.dumps(WHOLE).encode()]))
    async with inference.request("POST", "/completions", body=body) as answer:
        text = await answer.text()
    record = await recorded(session)
    assert record.pop("id").replace("-", "") in text
    prompt, completion = (7, 1) if "stream" in body else (5, 7)
    used = {"prompt_tokens": prompt, "completion_tokens": completion, "estimated": False}
    assert record == {"model": "demo", "status": "completed", "usage": used, "price": None}
    assert ("completions", ADA, "req-1") in session.callers


async def test_a_record_is_told_again_until_session_takes_it(inference, model_server, session):
    session.refuses["completions"] = (503, "down")
    model_server.script(*reply("a"))
    await streamed(inference)
    await eventually(lambda: len(session.called("completions")) > 1)
    inference.app.state.begin_drain()
    inference.server.stop()
    session.refuses.clear()
    told = len(session.called("completions"))
    await eventually(lambda: len(session.called("completions")) > told)
    assert len({record["id"] for record in session.called("completions")}) == 1


@pytest.mark.parametrize("body", [STREAM, ASKED])
async def test_a_client_that_leaves_ends_the_call(inference, model_server, session, body):
    model_server.script(chunk("12345678"), Stalls())
    request = inference.request("POST", "/completions", body=body)
    if "stream" in body:
        async with request as answer:
            await answer.content.readuntil(b"\n\n")
    else:
        calling = asyncio.create_task(request.__aenter__())
        await eventually(lambda: model_server.open)
        calling.cancel()
    await eventually(lambda: model_server.open == 0)
    record = await recorded(session)
    assert record["status"] == "cut"
    completion = 2 if "stream" in body else 0
    used = {"prompt_tokens": 2, "completion_tokens": completion, "estimated": True}
    assert record["usage"] == used


async def test_a_client_that_leaves_before_there_was_room_is_charged_nothing(
    start, model_server, session
):
    inference = await start(upstream_at_once=1, upstream_wait_seconds=60)

    async def running(number):
        async with inference.request("GET", "/metrics") as answer:
            return f"parley_inference_completions {number}.0" in await answer.text()

    model_server.script(chunk("12345678"), Stalls())
    async with inference.request("POST", "/completions", body=STREAM) as answer:
        await answer.content.readuntil(b"\n\n")
        request = inference.request("POST", "/completions", body=ASKED)
        waiting = asyncio.create_task(request.__aenter__())
        await eventually(lambda: running(2))
        waiting.cancel()
        await eventually(lambda: running(1))
    await eventually(lambda: running(0))
    assert (await recorded(session))["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("body", [STREAM, ASKED])
@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (Refuses(400), 400, "upstream_refused"),
        (Refuses(401), 502, "upstream_refused"),
        (Refuses(429), 429, "upstream_rate_limited"),
        (Refuses(500), 503, "upstream_unavailable"),
        (b'{"error": {"code": 500}}', 503, "upstream_unavailable"),
        (b"<html>", 502, "upstream_garbage"),
    ],
)
async def test_trouble_before_the_first_byte_is_an_error_of_its_status(
    inference, model_server, session, body, step, status, code
):
    for _ in range(3):
        is_event = "stream" in body and isinstance(step, bytes)
        model_server.script(b"data: %b\n\n" % step if is_event else step)
    assert await refused(inference, body) == (status, code)
    assert session.called("completions") == []


async def test_trouble_before_the_first_text_is_tried_again(inference, model_server):
    model_server.script(chunk(""), Dies())
    model_server.script(*reply("second"))
    events = await streamed(inference)
    assert [each["choices"][0]["delta"] for each in events[:-1]] == [{"content": "second"}, {}]


async def test_trouble_in_the_middle_is_an_error_event_and_the_end(
    inference, model_server, session
):
    model_server.script(chunk("12345"), Dies())
    said, failed = await streamed(inference)
    assert said["choices"][0]["delta"] == {"content": "12345"}
    assert failed["error"]["code"] == "upstream_broken"
    assert failed.keys() == {"error"}
    record = await recorded(session)
    assert record["status"] == "failed"
    assert record["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "estimated": True}


async def test_a_server_that_never_goes_on_is_broken_off(start, model_server):
    inference = await start(upstream_total_seconds=0.3, upstream_first_token_seconds=0.2)
    model_server.script(Babbles())
    assert await refused(inference, STREAM) == (504, "upstream_timeout")
    model_server.script(Stalls())
    assert await refused(inference) == (504, "upstream_timeout")


async def test_a_client_that_takes_nothing_makes_the_server_wait_and_is_cut_off(
    start, model_server, session
):
    inference = await start(inference_client_seconds=0.3, upstream_between_tokens_seconds=0.1)
    model_server.script(*[chunk("x" * 100_000)] * 200, DONE)
    async with inference.request("POST", "/completions", body=STREAM):
        record = await recorded(session)
    assert record["status"] == "cut"
    # Of five million tokens it read what fits in the buffers between them.
    assert record["usage"]["completion_tokens"] < 2_000_000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (ASKED | {"model": "other"}, 404, "model_not_found"),
        ({"model": "demo"}, 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b" " * 200_000, 413, "body_too_large"),
    ],
)
async def test_a_request_that_cannot_be_served_is_refused(start, body, status, code):
    inference = await start(inference_completion_body_bytes=100_000)
    assert await refused(inference, body) == (status, code)


async def test_a_long_conversation_fits_its_body(inference, model_server):
    said = "a" * 900_000
    model_server.script(*reply("a"))
    await streamed(inference, messages=[{"role": "user", "content": said}])
    assert model_server.asked[0]["messages"][0]["content"] == said


async def test_beyond_the_limit_of_completions_none_is_taken_on(start, model_server):
    inference = await start(inference_completions=1)
    model_server.script(chunk("a"), Stalls())
    async with inference.request("POST", "/completions", body=STREAM) as answer:
        await answer.content.readuntil(b"\n\n")
        assert await refused(inference) == (503, "inference_busy")


async def test_when_told_to_stop_it_ends_completions_within_its_limit(start, model_server, session):
    inference = await start(inference_drain_seconds=1)
    model_server.script(chunk("a"), Stalls())
    async with inference.request("POST", "/completions", body=STREAM) as answer:
        await answer.content.readuntil(b"\n\n")
        inference.app.state.begin_drain()
        assert await refused(inference) == (503, "inference_busy")
        assert b'"interrupted"' in await answer.content.read()
    assert (await recorded(session))["status"] == "failed"


async def test_a_reply_has_no_more_tokens_than_its_model_may(start, model_server, tmp_path):
    models = tmp_path / "models.yaml"
    models.write_text(
        f"models: [{{name: demo, upstream_name: big, base_url: '{model_server.url}', "
        "context_size: 900, reply_tokens: 50}]"
    )
    inference = await start(models=models)
    for limits in ({}, {"max_tokens": 60}, {"max_tokens": 40}):
        model_server.script(*reply("a"))
        await streamed(inference, **limits)
    sent = [(a.get("max_tokens"), a.get("max_completion_tokens")) for a in model_server.asked]
    assert sent == [(None, 50), (None, 50), (40, None)]
    assert model_server.asked[0]["model"] == "big"


async def test_every_choice_is_waited_for(start, model_server):
    inference = await start(upstream_after_finish_seconds=0.1)
    paused = asyncio.Event()
    model_server.script(chunk("a"), chunk(None, "stop"), paused, chunk("b"), usage(1, 2), DONE)
    reading = asyncio.create_task(streamed(inference, n=2))
    await eventually(lambda: model_server.open)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 0.3)
    paused.set()
    assert len(await reading) == 4
