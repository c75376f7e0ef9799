"""Misbehaviour of a model server, and the outcome of the turn."""

import asyncio
import logging
from pathlib import Path

import pytest
from inference_fakes.inference import KEY, Inference, Start
from inference_fakes.model_server import (
    DONE,
    Disconnects,
    ErrorStatus,
    ModelServer,
    SendsOnlyComments,
    Stalls,
    Step,
    chunk,
    event,
    reply,
    usage,
)
from inference_fakes.session import FakeSessionService, StoredTurn

from parley_inference.models.wire import stream_attempt
from parley_inference.turns import turn_opener
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

# Long enough for events that do arrive, also on a busy machine.
SHORT_TIMEOUTS = {"first_token_seconds": 2, "between_tokens_seconds": 0.4}


@pytest.fixture(autouse=True)
def short_wait_after_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_attempt, "AFTER_FINISH_SECONDS", 0.2)


async def failed_reply(inference: Inference, turn: StoredTurn) -> tuple[str, str, str]:
    """Return (text, error code, message) of a turn that failed."""
    *deltas, last = await inference.events(turn)
    assert last["type"] == "reply.failed"
    return text_of(deltas), last["error"]["code"], last["error"]["message"]


@pytest.mark.parametrize(
    "steps",
    [
        [ErrorStatus(429)],
        [ErrorStatus(429, headers={"retry-after": "0"})],
        [ErrorStatus(408)],
        [ErrorStatus(409)],
        [ErrorStatus(500)],
        [ErrorStatus(503, body="<html>")],
        [Disconnects()],
        [chunk(""), Disconnects()],
        [chunk("")],
        [event({"error": {"code": 503}})],
    ],
)
async def test_transient_failures_before_the_first_token_are_retried(
    inference: Inference, model_server: ModelServer, session: FakeSessionService, steps: list[Step]
) -> None:
    turn = session.open_turn()
    model_server.script(*steps)
    model_server.script(*reply("second"))
    *deltas, last = await inference.events(turn)
    assert (text_of(deltas), last["type"]) == ("second", "reply.completed")
    assert len(model_server.requests) == 2


@pytest.mark.parametrize(
    ("steps", "code", "attempts"),
    [
        ([ErrorStatus(400)], "upstream_refused", 1),
        ([ErrorStatus(401)], "upstream_refused", 1),
        ([ErrorStatus(403)], "upstream_refused", 1),
        ([ErrorStatus(404)], "upstream_refused", 1),
        ([ErrorStatus(302, headers={"location": "/elsewhere"})], "upstream_refused", 1),
        ([ErrorStatus(408)], "upstream_refused", 3),
        ([ErrorStatus(429)], "upstream_rate_limited", 3),
        ([ErrorStatus(500)], "upstream_unavailable", 3),
        ([Disconnects()], "upstream_unavailable", 3),
        ([chunk(""), Disconnects()], "upstream_broken", 3),
        ([b"<html>"], "upstream_garbage", 1),
        ([b"data: {\n\n"], "upstream_garbage", 1),
        ([event({"error": {"code": 400}})], "upstream_refused", 1),
    ],
)
async def test_a_failure_before_the_first_token_fails_the_turn_with_its_code(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    steps: list[Step],
    code: str,
    attempts: int,
) -> None:
    turn = session.open_turn()
    for _ in range(3):
        model_server.script(*steps)
    text, seen_code, message = await failed_reply(inference, turn)
    assert (text, seen_code) == ("", code)
    assert "secret" not in message
    assert len(model_server.requests) == attempts
    [body] = session.called("fail")
    assert "partial_content" not in body
    # Only a server that began to reply can charge for it.
    assert ("usage" not in body) == (code != "upstream_broken")


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([Disconnects()], "upstream_broken"),
        ([], "upstream_broken"),
        ([b'data: {"choices": [{"del'], "upstream_broken"),
        ([b"data: {\n\n"], "upstream_garbage"),
        ([b"data: " + b"x" * 2_000_000], "upstream_garbage"),
        ([event({"error": {"message": "secret", "code": 500}})], "upstream_unavailable"),
        ([Stalls()], "upstream_timeout"),
    ],
    ids=["dies", "ends early", "cut", "garbage", "endless line", "error", "stalls"],
)
async def test_a_failure_after_the_first_token_fails_the_turn_with_the_partial_text(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    steps: list[Step],
    code: str,
) -> None:
    inference = await start(upstream=SHORT_TIMEOUTS)
    turn = session.open_turn("12345678")
    model_server.script(chunk("half a "), chunk("reply"), *steps)
    assert (await failed_reply(inference, turn))[:2] == ("half a reply", code)
    [body] = session.called("fail")
    assert body["partial_content"] == "half a reply"
    # Session counted 10 in the window; Be kind. has 8 bytes, half a reply 12.
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "estimated": True}
    assert len(model_server.requests) == 1


@pytest.mark.parametrize("steps", [[Stalls()], [chunk(""), Stalls()], [SendsOnlyComments()]])
async def test_a_server_that_stalls_before_the_first_token_times_out(
    start: Start, model_server: ModelServer, session: FakeSessionService, steps: list[Step]
) -> None:
    inference = await start(upstream={"first_token_seconds": 0.2, "between_tokens_seconds": 0.2})
    model_server.script(*steps)
    async with asyncio.timeout(5):
        text, code, _ = await failed_reply(inference, session.open_turn())
    assert (text, code) == ("", "upstream_timeout")


async def test_the_total_timeout_bounds_a_reply(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(upstream={"total_seconds": 0.1})
    model_server.script(chunk("a"), Stalls())
    assert (await failed_reply(inference, session.open_turn()))[:2] == ("a", "upstream_timeout")


async def test_an_unreachable_server_is_unavailable(
    start: Start, session: FakeSessionService
) -> None:
    inference = await start(openai_base_url="http://127.0.0.1:9/v1")
    assert (await failed_reply(inference, session.open_turn()))[1] == "upstream_unavailable"


async def test_a_response_that_is_not_http_is_invalid(
    start: Start, session: FakeSessionService
) -> None:
    async def speak_smtp(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(speak_smtp, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        inference = await start(openai_base_url=f"http://{host}:{port}/v1")
        assert (await failed_reply(inference, session.open_turn()))[1] == "upstream_garbage"


async def test_an_error_status_counts_before_its_body_is_read(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(upstream=SHORT_TIMEOUTS)
    model_server.script(ErrorStatus(400), Stalls())
    assert (await failed_reply(inference, session.open_turn()))[1] == "upstream_refused"
    await eventually(lambda: model_server.open == 0)


@pytest.mark.parametrize(
    "steps",
    [
        [chunk(None, "stop"), Disconnects()],
        [chunk(None, "stop"), Stalls()],
        [chunk(None, "stop"), b"data: {\n\n"],
        [chunk(None, "stop")],
        [DONE],
        [DONE, Stalls()],
        [chunk(None, "tool_calls"), DONE],
        [b"data: [DONE]"],
    ],
)
async def test_a_failure_after_the_finish_reason_leaves_the_reply_complete(
    start: Start, model_server: ModelServer, session: FakeSessionService, steps: list[Step]
) -> None:
    inference = await start(upstream=SHORT_TIMEOUTS)
    turn = session.open_turn("12345678")
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


async def test_usage_is_the_model_servers_count(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn = session.open_turn()
    model_server.script(chunk("a"), chunk(None, "length"), usage(11, 13), DONE)
    await inference.events(turn)
    [body] = session.called("complete")
    assert body["usage"] == {"prompt_tokens": 11, "completion_tokens": 13}
    assert body["finish_reason"] == "length"
    assert 0 <= body["first_token_ms"] <= body["total_ms"]


async def test_unpaired_surrogates_join_across_chunks_or_are_replaced(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    turn, paused = session.open_turn(), asyncio.Event()
    model_server.script(chunk("a\ud83d"), paused, chunk("\ude00b"), *reply("\ud83d"))
    async with inference.stream(turn) as stream:
        assert await stream.until_text(1) == "a"
        paused.set()
        *deltas, last = await stream.events()
    assert text_of(deltas) == "😀b\ufffd"
    assert (turn.reply.content, last["sequence_number"]) == ("a😀b\ufffd", 4)


async def test_a_reply_over_the_limit_ends_with_length_and_stops_the_model(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_opener, "MAX_REPLY_BYTES", 100)
    turn = session.open_turn()
    model_server.script(chunk("é" * 40), chunk("é" * 40), Stalls())
    *deltas, last = await inference.events(turn)
    assert (text_of(deltas), last["type"]) == ("é" * 49, "reply.completed")
    assert turn.reply.finish_reason == "length"
    assert turn.reply.usage.estimated
    await eventually(lambda: model_server.open == 0)


async def test_an_unknown_model_fails_the_turn(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    assert (await failed_reply(inference, session.open_turn(model="other")))[1] == "model_unknown"
    assert model_server.requests == []


async def test_the_price_of_the_model_is_committed_with_the_reply(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    inference = await start(models_path=models)
    turn = session.open_turn()
    model_server.script(*reply("a"))
    await inference.events(turn)
    assert model_server.requests[0]["model"] == "demo-2026"
    assert model_server.keys == ["Bearer sk-of-the-file"]
    [body] = session.called("complete")
    assert body["price"] == {"currency": "EUR", "prompt": 400_000, "completion": 1_600_000}


async def test_without_an_api_key_no_authorization_is_sent(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(openai_api_key=None)
    model_server.script(*reply("a"))
    await inference.events(session.open_turn())
    assert model_server.keys == [None]


async def test_successive_replies_reuse_one_connection(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    for _ in range(3):
        model_server.script(*reply("a"))
        await inference.events(session.open_turn())
    assert model_server.connections == 1


async def test_neither_text_nor_api_key_is_logged(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    inference = await start(upstream=SHORT_TIMEOUTS)
    for steps in (
        [ErrorStatus(400)],
        [chunk("private words"), b"data: private words\n\n"],
        [chunk("private words"), Stalls()],
        [chunk("private words"), Disconnects()],
        reply("private words"),
    ):
        model_server.script(*steps)
        await inference.events(session.open_turn("private words"))
    assert "private" not in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text
