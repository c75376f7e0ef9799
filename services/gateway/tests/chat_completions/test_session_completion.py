"""Chat completions with a session, through OpenAI's own client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Disconnects, Inference, Stalls, deltas
from gateway_fakes.issuer import token
from gateway_fakes.openai_client import completion_request, openai_client, text_and_error

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import UsageShape
from parley_testing.eventually import eventually
from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService
from parley_testing.stored_turn import NOON

USAGE = UsageShape(prompt_tokens=7, completion_tokens=2, total_tokens=9)
REPLY = {"model": "parley-demo", "finish_reason": "stop", "usage": USAGE}


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Any]:
    async with openai_client(gateway) as client:
        yield client


async def test_a_whole_completion_is_the_reply_of_a_turn(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), lambda: sse.ended(session.end("Hello", reply=REPLY)))
    raw = await client.chat.completions.with_raw_response.create(**completion_request())
    turn = session.turn
    assert raw.headers["parley-session-id"] == str(SESSION_ID)
    assert raw.headers["parley-turn-id"] == str(turn.id)
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    assert json.loads(raw.text) == {
        "id": f"chatcmpl-{turn.id.hex}",
        "object": "chat.completion",
        "created": int(NOON.timestamp()),
        "model": "parley-demo",
        "choices": [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
    [submitted] = [call for call in session.calls if call.path.endswith("/messages")]
    assert submitted.path == f"/sessions/{SESSION_ID}/messages"
    assert submitted.body == {"content": "Hello?", "model": "parley-demo"}


async def test_a_stream_sends_the_role_then_the_text_then_the_finish_reason(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(
        deltas("Hél"),
        sse.HEARTBEAT,
        deltas("lo 😀", after=3),
        lambda: sse.ended(session.end("Héllo 😀", reply=REPLY | {"finish_reason": "length"})),
    )
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(**completion_request(stream=True))
    ]
    deltas_seen = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas_seen[0].role, deltas_seen[0].content) == ("assistant", "")
    assert [delta.content for delta in deltas_seen[1:]] == ["Hél", "lo 😀", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 3 + ["length"]
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{session.turn.id.hex}"}
    assert {chunk.created for chunk in chunks} == {int(NOON.timestamp())}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


async def test_usage_is_the_last_chunk_when_requested(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hi"), lambda: sse.ended(session.end("Hi", reply=REPLY)))
    request = completion_request(stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in await client.chat.completions.create(**request)]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == 7
    assert chunks[-1].usage.completion_tokens == 2
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 3
    assert all("usage" in chunk.model_fields_set for chunk in chunks)


async def test_the_last_chunk_names_the_model_that_replied(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    other = REPLY | {"model": "meta/llama"}
    inference.script(lambda: sse.ended(session.end("Hi", reply=other)))
    assert (await client.chat.completions.create(**completion_request())).model == "meta/llama"
    inference.script(lambda: sse.ended(session.end("Hi", reply=other)))
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(**completion_request(stream=True))
    ]
    assert [chunk.model for chunk in chunks] == ["parley-demo", "meta/llama"]


async def test_user_messages_after_the_last_assistant_message_are_new(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("Hi")))
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "And now?"},
        {"role": "user", "content": [{"type": "text", "text": text} for text in ("Go", "on.")]},
    ]
    request = completion_request(
        messages=messages, extra_headers=None, metadata={"session_id": str(SESSION_ID)}
    )
    await client.chat.completions.create(**request)
    assert session.calls[0].body == {
        "preceding": ["And now?"],
        "content": "Go\non.",
        "model": "parley-demo",
    }


async def test_a_failed_reply_is_an_error_that_is_not_retried(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), lambda: sse.ended(session.fail("Hel", "upstream_broken")))
    async with openai_client(gateway, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(**completion_request())
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_broken")
    assert failed.value.response.headers["parley-turn-id"] == str(session.turn.id)
    assert len(inference.resume_points) == 1


async def test_a_reply_that_fails_midway_raises_after_the_text(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), lambda: sse.ended(session.fail("Hel", "upstream_broken")))
    assert await text_and_error(client, **completion_request()) == ("Hel", "upstream_broken")


async def test_a_cancelled_reply_is_an_error(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), lambda: sse.ended(session.end("Hel", "cancelled")))
    assert await text_and_error(client, **completion_request()) == ("Hel", "cancelled")
    inference.script(deltas("Hel"), lambda: sse.ended(session.end("Hel", "cancelled")))
    with pytest.raises(openai.ConflictError) as cancelled:
        await client.chat.completions.create(**completion_request())
    assert cancelled.value.code == "cancelled"


async def test_a_stream_continues_after_inference_breaks(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Disconnects())
    inference.script(deltas("lo", after=3), lambda: sse.ended(session.end("Hello", reply=REPLY)))
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(**completion_request(stream=True))
    ]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_a_stream_that_cannot_continue_ends_with_an_error(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Disconnects())
    assert await text_and_error(client, **completion_request()) == ("Hel", "reply_pending")


async def test_a_stream_of_an_erased_session_ends_with_an_error(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    paused = asyncio.Event()
    inference.script(deltas("Hel"), paused, Disconnects())
    reading = asyncio.create_task(text_and_error(client, **completion_request()))
    await eventually(lambda: inference.written)
    session.turns.clear()
    paused.set()
    assert await reading == ("Hel", "session_not_found")


async def test_at_shutdown_a_stream_ends_with_an_error(
    gateway: Gateway, client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Stalls())
    reading = asyncio.create_task(text_and_error(client, **completion_request()))
    await eventually(lambda: inference.written)
    gateway.app.begin_drain()
    assert await reading == ("Hel", "reply_pending")


async def test_a_stream_ends_by_itself_while_its_gateway_shuts_down(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(drain_seconds=600)
    paused = asyncio.Event()
    inference.script(deltas("Hel"), paused, lambda: sse.ended(session.end("Hello", reply=REPLY)))
    async with openai_client(gateway) as client:
        reading = asyncio.create_task(text_and_error(client, **completion_request()))
        await eventually(lambda: inference.written)
        gateway.app.begin_drain()
        paused.set()
        assert await reading == ("Hel", None)


async def test_an_automatic_sdk_retry_attaches_to_its_turn(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(reply_timeout_seconds=0.05)
    inference.script(deltas("Hel"), Stalls())
    async with openai_client(gateway, max_retries=1) as client:
        asking = asyncio.create_task(client.chat.completions.create(**completion_request()))
        await eventually(lambda: inference.written)
        session.end("Hello", reply=REPLY)
        assert (await asking).choices[0].message.content == "Hello"
    [first, again] = [call for call in session.calls if call.path.endswith("/messages")]
    assert "attach" not in first.body
    assert again.body == {"content": "Hello?", "model": "parley-demo", "attach": True}
    assert len(session.turns) == 1


async def test_an_idempotency_key_takes_precedence_over_attaching(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("Hi", reply=REPLY)))
    headers = completion_request()["extra_headers"] | {
        "Idempotency-Key": "k",
        "x-stainless-retry-count": "1",
    }
    first = await client.chat.completions.create(**completion_request(extra_headers=headers))
    again = await client.chat.completions.create(**completion_request(extra_headers=headers))
    assert first == again
    assert {call.key for call in session.calls if call.path.endswith("/messages")} == {"k"}
    assert not any("attach" in (call.body or {}) for call in session.calls)


async def test_an_unknown_model_is_rejected_before_anything_is_committed(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(**completion_request(model="gpt-nowhere"))
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert not session.calls


async def test_an_error_of_session_is_returned_unchanged(
    client: Any, session: FakeSessionService
) -> None:
    session.answers.append(error(409, "turn_open", **{"x-should-retry": "false"}))
    with pytest.raises(openai.ConflictError) as refused:
        await client.chat.completions.create(**completion_request())
    assert refused.value.code == "turn_open"


async def test_disconnecting_does_not_stop_the_reply(
    client: Any, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Stalls())
    stream = await client.chat.completions.create(**completion_request(stream=True))
    await anext(stream)
    await stream.close()
    await eventually(lambda: inference.open == 0)
    assert session.turn.status == "running"
    assert not [call for call in session.calls if call.path.endswith("/cancel")]


async def test_the_blocking_client_works_too(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hi"), lambda: sse.ended(session.end("Hi", reply=REPLY)))

    def ask() -> Any:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=token()) as client:
            chunks = list(client.chat.completions.create(**completion_request(stream=True)))
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert await asyncio.to_thread(ask) == "Hi"
