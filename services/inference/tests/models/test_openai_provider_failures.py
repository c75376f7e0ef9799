"""A model server that refuses, stalls or breaks off."""

import asyncio

import pytest
from inference_fakes.inference import Inference, Start
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
)

from parley_inference.models.wire import stream_attempt
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import StoredTurn

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
        ([ErrorStatus(401)], "upstream_unauthorized", 1),
        ([ErrorStatus(403)], "upstream_unauthorized", 1),
        ([ErrorStatus(404)], "upstream_not_found", 1),
        ([ErrorStatus(302, headers={"location": "/elsewhere"})], "upstream_not_found", 1),
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
    async with asyncio.timeout(15):
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


async def test_an_unknown_model_fails_the_turn(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    assert (await failed_reply(inference, session.open_turn(model="other")))[1] == "model_unknown"
    assert model_server.requests == []
