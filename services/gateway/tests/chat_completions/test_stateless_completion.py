"""Chat completions without a session, through OpenAI's own client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.inference import Disconnects, Inference, Stalls
from gateway_fakes.openai_client import HELLO, openai_client, text_and_error

from parley_contracts import turn_sse as sse
from parley_testing.eventually import eventually
from parley_testing.fake_service import error, raw
from parley_testing.session_service import FakeSessionService

TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "x-é": [1, 2.5, None]}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Any]:
    async with openai_client(gateway) as client:
        yield client


def completion_request(**changes: Any) -> Any:
    return {"model": "parley-demo", "messages": HELLO, **changes}


def chunk(text: Any = None, finish: Any = None, **more: Any) -> Any:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "parley-demo",
        "choices": [choice],
        **more,
    }
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def completion(**message: Any) -> Any:
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "parley-demo",
        "choices": [
            {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}
        ],
    }
    return raw(json.dumps(data).encode())


async def test_all_supported_parameters_are_forwarded(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(completion(content=None, tool_calls=[CALL]))
    messages = [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,é"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "…"},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ]
    sent = completion_request(
        messages=messages, tools=[TOOL], tool_choice="auto", temperature=0.2, stop=["\n"], n=2
    )
    dropped = {"metadata": {"run": "7"}, "seed": None}
    answer = await client.chat.completions.create(**sent, **dropped)
    assert answer.choices[0].message.tool_calls[0].function.name == "add"
    [call] = inference.calls
    assert (call.method, call.path, call.principal.user) == ("POST", "/completions", "ada")
    assert call.body == sent
    assert not session.calls


async def test_an_idempotency_key_is_ignored(client: Any, inference: Inference) -> None:
    for text in ("Hi", "Ho"):
        inference.script(completion(content=text))
        answer = await client.chat.completions.create(
            **completion_request(), extra_headers={"Idempotency-Key": "k"}
        )
        assert answer.choices[0].message.content == text
    assert [call.key for call in inference.calls] == [None, None]


async def test_a_stream_is_relayed_in_whole_events(gateway: Gateway, inference: Inference) -> None:
    sent = chunk("é") + sse.HEARTBEAT + chunk("\n\n", "stop", logprobs=None) + b"data: [DONE]\n\n"
    inference.script(*(sent[at : at + 7] for at in range(0, len(sent), 7)))
    body = completion_request(
        stream=True, stream_options={"include_usage": True, "include_obfuscation": False}
    )
    async with gateway.request("POST", "/v1/chat/completions", body=body) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await response.read() == sent
    [call] = inference.calls
    assert call.body == completion_request(stream=True, stream_options={"include_usage": True})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rejection_by_inference_is_an_ordinary_error(
    client: Any, inference: Inference, stream: Any
) -> None:
    inference.script(error(429, "upstream_rate_limited", **{"x-should-retry": "false"}))
    with pytest.raises(openai.RateLimitError) as refused:
        await client.chat.completions.create(**completion_request(stream=stream))
    assert refused.value.code == "upstream_rate_limited"
    assert refused.value.response.headers["x-should-retry"] == "false"


async def test_an_sdk_retries_an_error_before_the_first_byte(
    gateway: Gateway, inference: Inference
) -> None:
    inference.script(error(503, "inference_busy", **{"retry-after-ms": "1"}))
    inference.script(completion(content="Hi"))
    async with openai_client(gateway, max_retries=1) as client:
        answer = await client.chat.completions.create(**completion_request())
    assert answer.choices[0].message.content == "Hi"


async def test_an_sdk_does_not_repeat_a_completion_that_took_too_long(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(reply_timeout_seconds=0.2)
    inference.script(Stalls())
    async with openai_client(gateway, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(**completion_request())
    assert (failed.value.status_code, failed.value.code) == (504, "upstream_timeout")
    assert len(inference.calls) == 1


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (Disconnects(), "inference_unavailable"),
        (b'data: {"error":{"message":"Lost.","code":"upstream_broken"}}\n\n', "upstream_broken"),
    ],
)
async def test_an_interruption_raises_after_the_text(
    client: Any, inference: Inference, last: Any, code: Any
) -> None:
    inference.script(chunk("Hel"), last)
    assert await text_and_error(client, **completion_request()) == ("Hel", code)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_disconnected_client_ends_the_upstream_stream(
    client: Any, inference: Inference, stream: Any
) -> None:
    inference.script(*([chunk("Hel")] if stream else []), Stalls())
    asking = asyncio.create_task(_read(client, stream))
    await eventually(lambda: inference.open)
    asking.cancel()
    await eventually(lambda: inference.open == 0)


async def test_a_client_that_disconnects_before_the_first_byte_ends_the_completion(
    client: Any, inference: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def never(request: Any, call: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    monkeypatch.setattr(inference, "handle", never)
    asking = asyncio.create_task(_read(client, True))
    await eventually(lambda: inference.calls)
    asking.cancel()
    async with asyncio.timeout(15):
        await gone.wait()


async def test_heartbeats_are_sent_while_the_model_is_silent(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(constants={"http.sse_response.HEARTBEAT_SECONDS": 0.02})
    paused = asyncio.Event()
    inference.script(chunk("Hel"), paused, chunk("lo") + b"data: [DONE]\n\n")
    body = completion_request(stream=True)
    async with gateway.request("POST", "/v1/chat/completions", body=body) as response:
        received = b""
        while received.count(sse.HEARTBEAT) < 2:
            received += await response.content.readany()
        paused.set()
        received += await response.read()
    assert received.replace(sse.HEARTBEAT, b"") == chunk("Hel") + chunk("lo") + b"data: [DONE]\n\n"


async def test_at_shutdown_a_completion_may_finish_within_the_drain_time(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(drain_seconds=5)
    paused = asyncio.Event()
    inference.script(chunk("Hel"), paused, chunk("lo", "stop") + b"data: [DONE]\n\n")
    async with openai_client(gateway) as client:
        reading = asyncio.create_task(_read(client, True))
        await eventually(lambda: inference.written)
        gateway.app.begin_drain()
        paused.set()
        assert await reading == "Hello"


@pytest.mark.parametrize("started", [False, True])
async def test_at_shutdown_an_unfinished_completion_ends_with_an_error(
    gateway: Gateway, client: Any, inference: Inference, started: Any
) -> None:
    # The gateway of these tests drains for a second, which it needs to say so.
    inference.script(*([chunk("Hel")] if started else []), Stalls())
    asking = asyncio.create_task(
        text_and_error(client, **completion_request())
        if started
        else client.chat.completions.create(**completion_request())
    )
    await eventually(lambda: inference.open and (inference.written or not started))
    gateway.app.begin_drain()
    if started:
        assert await asking == ("Hel", "gateway_busy")
        return
    with pytest.raises(openai.InternalServerError) as stopped:
        await asking
    assert (stopped.value.status_code, stopped.value.code) == (503, "gateway_busy")


async def test_a_completion_body_has_its_own_limit(
    start: Callable[..., Awaitable[Gateway]], inference: Inference
) -> None:
    gateway = await start(body={"max_completion_bytes": 3 * 2**20})
    inference.script(completion(content="Long."))
    message = {"role": "user", "content": "x" * 2**21}
    async with openai_client(gateway) as client:
        await client.chat.completions.create(**completion_request(messages=[message]))
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(**completion_request(messages=[message] * 2))
    [call] = inference.calls
    assert call.body == completion_request(messages=[message])
    assert (refused.value.status_code, refused.value.code) == (413, "body_too_large")


async def test_a_model_is_read_by_its_name(client: Any, inference: Inference) -> None:
    assert (await client.models.retrieve("meta/llama")).id == "meta/llama"
    assert [model.id async for model in client.models.list()] == ["parley-demo", "meta/llama"]
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("gpt-nowhere")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    # The cached list is used, even while inference is unavailable.
    inference.is_unavailable = True
    assert (await client.models.retrieve("parley-demo")).owned_by == "parley"
    assert [call.path for call in inference.calls] == ["/models"] * 2


async def _read(client: Any, stream: Any) -> Any:
    answer = await client.chat.completions.create(**completion_request(stream=stream))
    if not stream:
        return answer.choices[0].message.content
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
