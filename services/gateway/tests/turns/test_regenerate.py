"""Regenerated replies: streamed, awaited or in the background."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.inference import Disconnects, Inference, Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService

PATH = f"/v1/sessions/{SESSION_ID}/regenerate"
MESSAGE_ID = another_id()


@pytest.mark.parametrize("body", [{}, {"message_id": MESSAGE_ID}, {"message_id": None}])
async def test_a_regenerated_turn_is_returned_when_the_reply_is_done(
    gateway: Gateway, session: FakeSessionService, inference: Inference, body: Any
) -> None:
    inference.script(lambda: sse.ended(session.end("Again")))
    status, turn = await gateway.post(PATH, body, idempotency_key="k")
    assert (status, turn["reply"]["content"]) == (200, "Again")
    [call] = [call for call in session.calls if call.method == "POST"]
    assert (call.path, call.body, call.key) == (PATH.removeprefix("/v1"), body, "k")


async def test_a_regenerated_reply_can_be_streamed(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Again"), lambda: sse.ended(session.end("Again")))
    async with gateway.request("POST", PATH, body={"stream": True}) as answer:
        assert answer.content_type == "text/event-stream"
        assert b"id: end" in await answer.read()


async def test_a_background_regeneration_is_answered_at_once(
    gateway: Gateway, inference: Inference
) -> None:
    inference.script(Stalls())
    status, turn = await gateway.post(PATH, {"background": True})
    assert (status, turn["status"]) == (202, "running")


async def test_the_parent_message_is_forwarded(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    for more in ({"parent_message_id": MESSAGE_ID}, {"parent_message_id": None}, {}):
        body = {"content": "Hi", **more}
        session.answers.append(error(409, "turn_open"))
        await gateway.post(f"/v1/sessions/{SESSION_ID}/messages", body)
        assert session.calls[-1].body == body


async def test_the_stream_of_an_erased_session_ends_as_cancelled(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        stream={"reconnect_deadline_seconds": 60},
        constants={"turns.event_relay.RECONNECT_MAX_SECONDS": 0.1},
    )
    erased = asyncio.Event()
    inference.script(deltas("abc"), erased, Disconnects())
    async with gateway.stream() as stream:
        await stream.until_text(3)
        session.turns.clear()
        erased.set()
        async with asyncio.timeout(15):
            [last] = await stream.events()
    assert (last["type"], last["sequence_number"]) == ("reply.cancelled", 0)
    assert (last["message"]["content"], last["error"]["code"]) == ("", "session_erased")
