"""Completions whose model server fails, stalls or is too slow for the client."""

import asyncio
from typing import Any

import pytest
from inference_fakes.completions import BODY, STREAMING_BODY, error, streamed, usage_record
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
    reply,
)

from parley_inference.completions import streamed_completion
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


@pytest.mark.parametrize("body", [STREAMING_BODY, BODY])
async def test_a_client_disconnect_ends_the_upstream_request(
    inference: Inference, model_server: ModelServer, session: FakeSessionService, body: Any
) -> None:
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
    record = await usage_record(session)
    assert record["status"] == "cut"
    completion = 2 if "stream" in body else 0
    used = {"prompt_tokens": 2, "completion_tokens": completion, "estimated": True}
    assert record["usage"] == used


async def test_a_client_that_disconnects_before_its_request_was_sent_is_not_charged(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(upstream={"max_concurrency": 1, "wait_seconds": 60})

    async def in_flight(number: int) -> bool:
        async with inference.request("GET", "/metrics") as answer:
            return f"parley_inference_completions_in_flight {number}.0" in await answer.text()

    model_server.script(chunk("12345678"), Stalls())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
        request = inference.request("POST", "/completions", body=BODY)
        waiting = asyncio.create_task(request.__aenter__())
        await eventually(lambda: in_flight(2))
        waiting.cancel()
        await eventually(lambda: in_flight(1))
    await eventually(lambda: in_flight(0))
    assert (await usage_record(session))["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("body", [STREAMING_BODY, BODY])
@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (ErrorStatus(400), 400, "upstream_refused"),
        (ErrorStatus(401), 502, "upstream_unauthorized"),
        (ErrorStatus(429), 429, "upstream_rate_limited"),
        (ErrorStatus(500), 503, "upstream_unavailable"),
        (b'{"error": {"code": 500}}', 503, "upstream_unavailable"),
        (b"<html>", 502, "upstream_garbage"),
    ],
)
async def test_a_failure_before_the_first_byte_is_an_error_response(
    inference: Inference,
    model_server: ModelServer,
    session: FakeSessionService,
    body: Any,
    step: Step,
    status: int,
    code: str,
) -> None:
    for _ in range(3):
        if "stream" in body and isinstance(step, bytes):
            model_server.script(b"data: %b\n\n" % step)
        else:
            model_server.script(step)
    assert await error(inference, body) == (status, code)
    assert session.called("completions") == []


async def test_a_failure_before_the_first_text_is_retried(
    inference: Inference, model_server: ModelServer
) -> None:
    model_server.script(chunk(""), Disconnects())
    model_server.script(*reply("second"))
    events = await streamed(inference)
    assert [each["choices"][0]["delta"] for each in events[:-1]] == [{"content": "second"}, {}]


async def test_a_failure_after_the_first_text_ends_with_an_error_event(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    model_server.script(chunk("12345"), Disconnects())
    text, failed = await streamed(inference)
    assert text["choices"][0]["delta"] == {"content": "12345"}
    assert failed["error"]["code"] == "upstream_broken"
    assert failed.keys() == {"error"}
    record = await usage_record(session)
    assert record["status"] == "failed"
    assert record["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "estimated": True}


async def test_a_stalled_server_times_out(start: Start, model_server: ModelServer) -> None:
    inference = await start(upstream={"total_seconds": 0.3, "first_token_seconds": 0.2})
    model_server.script(SendsOnlyComments())
    assert await error(inference, STREAMING_BODY) == (504, "upstream_timeout")
    model_server.script(Stalls())
    assert await error(inference) == (504, "upstream_timeout")


async def test_a_client_that_reads_nothing_pauses_the_server_and_is_disconnected(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamed_completion, "CLIENT_TIMEOUT_SECONDS", 0.3)
    inference = await start(upstream={"between_tokens_seconds": 0.1})
    model_server.script(*[chunk("x" * 100_000)] * 200, DONE)
    async with inference.request("POST", "/completions", body=STREAMING_BODY):
        record = await usage_record(session)
    assert record["status"] == "cut"
    # Of five million tokens only those that fit in the buffers between them were read.
    assert record["usage"]["completion_tokens"] < 2_000_000


async def test_shutdown_interrupts_completions_at_its_deadline(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(drain={"seconds": 1})
    model_server.script(chunk("a"), Stalls())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
        inference.app.state.begin_drain()
        assert await error(inference) == (503, "inference_busy")
        assert b'"interrupted"' in await answer.content.read()
    assert (await usage_record(session))["status"] == "failed"
