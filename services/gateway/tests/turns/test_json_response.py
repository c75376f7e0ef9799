"""A message whose turn is returned as JSON once the reply is done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Disconnects, Inference, Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.eventually import eventually
from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService

PATH = f"/v1/sessions/{SESSION_ID}/messages"


async def test_the_turn_is_returned_when_its_reply_is_done(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    paused = asyncio.Event()
    inference.script(deltas("Hel"), paused, lambda: sse.ended(session.end("Hello")))
    waiting = asyncio.create_task(gateway.submit("Hi"))
    await eventually(lambda: inference.written)
    assert not waiting.done()
    paused.set()
    status, turn = await waiting
    assert (status, turn["object"], turn["status"]) == (200, "turn", "completed")
    assert (turn["message"]["content"], turn["reply"]["content"]) == ("Hi", "Hello")


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_failed_and_cancelled_turns_are_returned_too(
    gateway: Gateway, session: FakeSessionService, inference: Inference, status: Any
) -> None:
    inference.script(lambda: sse.ended(session.end("Hel", status)))
    answered, turn = await gateway.submit()
    assert (answered, turn["status"], turn["reply"]["content"]) == (200, status, "Hel")


async def test_a_broken_stream_from_inference_is_reconnected(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("abc"), Disconnects())
    inference.script(lambda: sse.ended(session.end("abc")))
    assert (await gateway.submit())[1]["status"] == "completed"
    assert inference.resume_points == [0, 3]


async def test_a_repeated_request_returns_the_same_turn_without_inference(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("Hi")))
    first = await gateway.submit(idempotency_key="k")
    inference.is_unavailable = True
    assert await gateway.submit(idempotency_key="k") == first
    assert len(session.turns) == 1


async def test_a_client_that_waits_for_an_erased_session_gets_a_404(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    paused = asyncio.Event()
    inference.script(deltas("Hel"), paused, Disconnects())
    waiting = asyncio.create_task(gateway.submit("Hi"))
    await eventually(lambda: inference.written)
    session.turns.clear()
    paused.set()
    status, answer = await waiting
    assert (status, answer["error"]["code"]) == (404, "session_not_found")


async def test_a_reply_that_takes_too_long_is_pending(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(reply_timeout_seconds=0.1)
    inference.script(Stalls())
    async with gateway.request("POST", PATH, body={"content": "Hi"}) as answer:
        assert answer.status == 504
        assert answer.headers["x-should-retry"] == "false"
        assert (await answer.json())["error"]["code"] == "reply_pending"
    inference.script(Stalls())
    body = {"content": "Hi"}
    async with gateway.request("POST", PATH, body=body, idempotency_key="k") as answer:
        assert answer.status == 504
        assert "x-should-retry" not in answer.headers
    session.end("done")
    status, turn = await gateway.submit(idempotency_key="k")
    assert (status, turn["reply"]["content"]) == (200, "done")


async def test_when_inference_stays_unavailable_the_reply_is_pending(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.is_unavailable = True
    status, body = await gateway.submit()
    assert (status, body["error"]["code"]) == (504, "reply_pending")
    assert len(session.turns) == 1


async def test_an_end_that_session_cannot_confirm_is_pending(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    def ends_and_goes_away() -> Any:
        session.answers.append(error(503, "event_store_unavailable"))
        return sse.ended(session.end("x"))

    inference.script(ends_and_goes_away)
    status, body = await gateway.submit()
    assert (status, body["error"]["code"]) == (504, "reply_pending")


async def test_a_disconnected_client_frees_its_slot(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(max_streams=1)
    inference.script(Stalls())
    waiting = asyncio.create_task(gateway.submit())
    await eventually(lambda: inference.open)
    waiting.cancel()
    await eventually(lambda: inference.open == 0)
    inference.script(lambda: sse.ended(session.end("")))
    assert (await gateway.submit())[0] == 200
