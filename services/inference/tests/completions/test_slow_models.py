"""Streams whose model takes long to its first token: the response starts without it."""

import asyncio
import json
from typing import Any

import pytest
from inference_fakes.completions import STREAMING_BODY, usage_record
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import ModelServer, Stalls, chunk, event, reply

from parley_inference.completions import streamed_completion
from parley_testing.session_service import FakeSessionService


@pytest.fixture(autouse=True)
def _starts_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_completion, "START_AFTER_SECONDS", 0.05)


async def read_event(answer: Any) -> Any:
    return json.loads((await answer.content.readuntil(b"\n\n")).removeprefix(b"data: "))


def role(text: str = "") -> bytes:
    return event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]})


async def test_the_role_precedes_the_first_token_and_is_sent_once(
    inference: Inference, model_server: ModelServer
) -> None:
    paused = asyncio.Event()
    model_server.script(role(), paused, role("Hel"), *reply("lo"))
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        assert answer.status == 200
        first = await read_event(answer)
        paused.set()
        rest = [await read_event(answer) for _ in range(4)]
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
    assert {each["id"] for each in rest} == {first["id"]}
    assert [each["choices"][0]["delta"] for each in rest] == [
        {"content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]


async def test_each_choice_has_its_role(inference: Inference, model_server: ModelServer) -> None:
    model_server.script(Stalls())
    body = STREAMING_BODY | {"n": 2, "stream_options": {"include_usage": True}}
    async with inference.request("POST", "/completions", body=body) as answer:
        chunks = [await read_event(answer) for _ in range(2)]
    assert [each["choices"][0]["index"] for each in chunks] == [0, 1]
    assert all(each["usage"] is None for each in chunks)


async def test_a_failure_after_the_role_is_the_last_event(
    start: Start, model_server: ModelServer, session: FakeSessionService
) -> None:
    inference = await start(upstream={"total_seconds": 0.3, "first_token_seconds": 0.2})
    model_server.script(role(), Stalls())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await read_event(answer)
        error = await read_event(answer)
        assert await answer.content.read() == b""
    assert error["error"]["code"] == "upstream_timeout"
    assert (await usage_record(session))["usage"]["completion_tokens"] == 0


async def test_a_fallback_replies_after_the_role(
    inference: Inference, model_server: ModelServer
) -> None:
    """The second attempt stands for a fallback: nothing of the first one was sent."""
    paused = asyncio.Event()
    model_server.script(role(), paused)
    model_server.script(role("Hello"), *reply())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await read_event(answer)
        paused.set()
        assert (await read_event(answer))["choices"][0]["delta"] == {"content": "Hello"}


async def test_a_fast_model_is_relayed_as_it_is(
    inference: Inference, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_completion, "START_AFTER_SECONDS", 60)
    model_server.script(role(), chunk("Hello"), *reply())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        deltas = [(await read_event(answer))["choices"][0]["delta"] for _ in range(2)]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hello"}]
