"""Stateless completions: relayed as the model server sends them, and their usage recorded."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from inference_fakes.completions import BODY, STREAMING_BODY, error, streamed, usage_record
from inference_fakes.inference import Inference, Start
from inference_fakes.model_server import (
    DONE,
    ErrorStatus,
    ModelServer,
    Stalls,
    chunk,
    event,
    reply,
    usage,
)

from parley_inference.api import body_limits
from parley_inference.models.wire import stream_attempt
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import ADA

RESPONSE = {
    "id": "theirs",
    "object": "chat.completion",
    "model": "theirs-too",
    "choices": [{"index": 0, "message": {"content": "Hi", "odd": 1.50}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    "system_fingerprint": "fp",
}


async def test_events_are_relayed_except_for_id_and_model(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    call = {"index": 0, "function": {"name": "look", "arguments": "{}"}, "odd": [1.50]}
    odd = {"id": "theirs", "model": "theirs", "choices": [{"delta": {"tool_calls": [call]}}]}
    model_server.script(event(odd), b": a comment\n\n", *reply("a"))
    tools = [{"type": "function", "function": {"name": "look"}}]
    tool_call, text, finish, done = await streamed(inference, tools=tools, temperature=0.5)
    assert tool_call["choices"] == odd["choices"]
    assert tool_call["id"] == text["id"] == finish["id"]
    assert tool_call["id"].startswith("chatcmpl-")
    assert {tool_call["model"], text["model"]} == {"demo"}
    assert (text["object"], done) == ("chat.completion.chunk", "[DONE]")
    [request] = model_server.requests
    assert (request["tools"], request["temperature"]) == (tools, 0.5)


async def test_a_completion_has_the_id_for_which_a_budget_is_reserved(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    id = uuid4()
    model_server.script(*reply("a"))
    async with inference.request(
        "POST", "/completions", body=STREAMING_BODY, completion_id=str(id)
    ) as answer:
        assert f"chatcmpl-{id.hex}" in await answer.text()
    assert (await usage_record(session))["id"] == str(id)
    async with inference.request(
        "POST", "/completions", body=BODY, completion_id="other"
    ) as answer:
        assert answer.status == 400


async def test_a_reserved_completion_that_used_nothing_ends_its_reservation(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    id = str(uuid4())
    model_server.script(ErrorStatus(400))
    async with inference.request(
        "POST", "/completions", body=STREAMING_BODY, completion_id=id
    ) as answer:
        assert answer.status == 400
    path = f"/completions/admission/{id}"
    await eventually(lambda: ("DELETE", path) in [(c.method, c.path) for c in session.calls])


async def test_usage_is_always_requested_and_relayed_on_request(
    inference: Inference, model_server: ModelServer
) -> None:
    for _ in range(2):
        model_server.script(*reply("a"))
    *_, last_chunk, _ = await streamed(inference, stream_options={"include_usage": True})
    assert last_chunk["usage"] == {"prompt_tokens": 7, "completion_tokens": 1}
    *events, _ = await streamed(inference)
    assert not any("usage" in event for event in events)
    assert [request["stream_options"] for request in model_server.requests] == [
        {"include_usage": True}
    ] * 2


async def test_a_json_response_is_relayed_except_for_id_and_model(
    inference: Inference, model_server: ModelServer
) -> None:
    model_server.script(json.dumps(RESPONSE).encode())
    async with inference.request("POST", "/completions", body=BODY) as answer:
        response = await answer.json()
    assert response["id"].startswith("chatcmpl-")
    assert response == RESPONSE | {"id": response["id"], "model": "demo"}
    assert model_server.requests == [BODY | {"stream": False}]


async def test_characters_that_end_a_line_are_escaped(
    inference: Inference, model_server: ModelServer
) -> None:
    text = "a\x85b\u2028c\u2029d"
    spread = f'{{"choices": [{{"delta":\ndata: {{"content": "{text}"}}}}]}}'
    model_server.script(f"data: {spread}\n\n".encode(), *reply("e"))
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        lines = (await answer.text()).splitlines()
    first, blank, *_ = lines
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {"content": text}
    assert blank == ""


async def test_unpaired_surrogates_are_relayed(
    inference: Inference, model_server: ModelServer
) -> None:
    model_server.script(chunk("\ud83d"), *reply("\ude00"))
    events = await streamed(inference)
    assert [each["choices"][0]["delta"] for each in events[:2]] == [
        {"content": "\ud83d"},
        {"content": "\ude00"},
    ]


@pytest.mark.parametrize("body", [STREAMING_BODY, BODY])
async def test_usage_is_recorded_on_behalf_of_the_caller(
    inference: Inference, model_server: ModelServer, session: FakeSessionService, body: Any
) -> None:
    model_server.script(*(reply("a") if "stream" in body else [json.dumps(RESPONSE).encode()]))
    async with inference.request("POST", "/completions", body=body) as answer:
        text = await answer.text()
    record = await usage_record(session)
    assert record.pop("id").replace("-", "") in text
    prompt, completion = (7, 1) if "stream" in body else (5, 7)
    used = {"prompt_tokens": prompt, "completion_tokens": completion}
    assert record == {"model": "demo", "status": "completed", "usage": used}
    assert ("completions", ADA, "req-1") in session.callers


async def test_a_usage_record_is_retried_until_session_accepts_it(
    inference: Inference, model_server: ModelServer, session: FakeSessionService
) -> None:
    session.errors["completions"] = (503, "down")
    model_server.script(*reply("a"))
    await streamed(inference)
    await eventually(lambda: len(session.called("completions")) > 1)
    inference.app.state.begin_drain()
    inference.server.stop()
    session.errors.clear()
    reports = len(session.called("completions"))
    await eventually(lambda: len(session.called("completions")) > reports)
    assert len({record["id"] for record in session.called("completions")}) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BODY | {"model": "other"}, 404, "model_not_found"),
        ({"model": "demo"}, 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b" " * 200_000, 413, "body_too_large"),
    ],
)
async def test_an_invalid_request_is_rejected(
    start: Start, body: Any, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limits, "MAX_COMPLETION_BODY_BYTES", 100_000)
    inference = await start()
    assert await error(inference, body) == (status, code)


async def test_a_long_conversation_is_accepted(
    inference: Inference, model_server: ModelServer
) -> None:
    content = "a" * 900_000
    model_server.script(*reply("a"))
    await streamed(inference, messages=[{"role": "user", "content": content}])
    assert model_server.requests[0]["messages"][0]["content"] == content


async def test_completions_beyond_the_limit_are_rejected(
    start: Start, model_server: ModelServer
) -> None:
    inference = await start(max_completions=1)
    model_server.script(chunk("a"), Stalls())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
        assert await error(inference) == (503, "inference_busy")


async def test_one_person_with_their_share_of_completions_is_rejected(
    start: Start, model_server: ModelServer
) -> None:
    inference = await start(max_completions=10, max_completions_person_share=0.1)
    model_server.script(chunk("a"), Stalls())
    async with inference.request("POST", "/completions", body=STREAMING_BODY) as answer:
        await answer.content.readuntil(b"\n\n")
        assert await error(inference) == (429, "too_many_completions")


async def test_the_reply_limit_of_the_model_is_sent_upstream(
    start: Start, model_server: ModelServer, tmp_path: Path
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        f"models: [{{name: demo, upstream_name: big, base_url: '{model_server.url}', "
        "context_size: 900, reply_tokens: 50}]"
    )
    inference = await start(models_path=models)
    both = {"max_completion_tokens": 1, "max_tokens": 60}
    for limits in ({}, {"max_tokens": 60}, {"max_tokens": 40}, both):
        model_server.script(*reply("a"))
        await streamed(inference, **limits)
    sent = [(a.get("max_tokens"), a.get("max_completion_tokens")) for a in model_server.requests]
    assert sent == [(None, 50), (None, 50), (40, None), (None, 50)]
    assert model_server.requests[0]["model"] == "big"


async def test_a_stream_ends_after_its_last_choice(
    inference: Inference, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_attempt, "AFTER_FINISH_SECONDS", 0.1)
    paused = asyncio.Event()
    model_server.script(chunk("a"), chunk(None, "stop"), paused, chunk("b"), usage(1, 2), DONE)
    reading = asyncio.create_task(streamed(inference, n=2))
    await eventually(lambda: model_server.open)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 0.3)
    paused.set()
    assert len(await reading) == 4
