"""Background turns: answered at once, run by inference without a client, polled later."""

import asyncio
from typing import Any

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, another_id
from gateway_fakes.inference import Inference, Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import EventStream, text_of
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

PATH = f"/v1/sessions/{SESSION_ID}/messages"
BACKGROUND = {"content": "Hi", "background": True}


def without_url(turn: dict[str, Any]) -> dict[str, Any]:
    """Each ticket of a URL has its own time."""
    assert turn["stream_url"].startswith(f"/v1/turns/{turn['id']}/stream?ticket=")
    return {name: value for name, value in turn.items() if name != "stream_url"}


async def test_the_running_turn_is_returned_at_once_and_can_be_polled(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hel"), Stalls())
    status, turn = await gateway.post(PATH, BACKGROUND)
    assert (status, turn["status"], turn["reply"]) == (202, "running", None)
    assert turn["message"]["content"] == "Hi"
    # Inference has it: nobody else needs to see to it.
    await eventually(lambda: inference.resume_points == [0])
    status, read = await gateway.get(f"/v1/turns/{turn['id']}")
    assert (status, without_url(read)) == (200, without_url(turn))
    session.end("Hello")
    status, ended = await gateway.get(f"/v1/turns/{turn['id']}")
    assert (status, ended["status"], ended["reply"]["content"]) == (200, "completed", "Hello")
    assert "stream_url" not in ended


@pytest.mark.parametrize("source", ["background", "read", "cancel"])
async def test_a_running_turn_has_the_url_of_its_stream(
    gateway: Gateway, session: FakeSessionService, inference: Inference, source: str
) -> None:
    inference.script(Stalls())
    _, turn = await gateway.post(PATH, BACKGROUND)
    if source == "read":
        _, turn = await gateway.get(f"/v1/turns/{turn['id']}")
    elif source == "cancel":
        session.answers.append(raw(session.turn.to_json()))
        _, turn = await gateway.post(f"/v1/turns/{turn['id']}/cancel")
    inference.script(deltas("Hello"), lambda: sse.ended(session.end("Hello")))
    # An EventSource has no token.
    async with gateway.request("GET", turn["stream_url"], authorization="") as response:
        stream = EventStream(response, response.content.readany)
        assert text_of(await stream.events()) == "Hello"


async def test_a_repeated_request_returns_the_current_turn(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    inference.script(Stalls())
    _, first = await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    status, again = await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    assert (status, without_url(again)) == (202, without_url(first))
    session.end("Hello")
    status, ended = await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    assert (status, ended["status"]) == (200, "completed")
    assert len(session.turns) == 1


async def test_the_same_request_without_background_waits_for_the_reply(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(Stalls())
    await gateway.post(PATH, BACKGROUND, idempotency_key="k")
    inference.script(lambda: sse.ended(session.end("Hello")))
    status, turn = await gateway.submit("Hi", idempotency_key="k")
    assert (status, turn["reply"]["content"]) == (200, "Hello")


async def test_the_turn_is_returned_while_inference_is_unavailable(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.is_unavailable = True
    async with asyncio.timeout(15):
        status, turn = await gateway.post(PATH, BACKGROUND)
    assert (status, turn["status"]) == (202, "running")
    assert len(session.turns) == 1


async def test_a_background_stream_is_rejected_before_any_call(
    gateway: Gateway, session: FakeSessionService
) -> None:
    body = {**BACKGROUND, "stream": True}
    refused = await gateway.expect_error("POST", PATH, body=body)
    assert refused == (400, "invalid_request", "background")
    assert not session.calls


@pytest.mark.parametrize(
    ("turn", "refused"),
    [("x", (400, "invalid_request", "turn_id")), (another_id(), (404, "turn_not_found", None))],
)
async def test_an_unknown_turn_is_rejected(gateway: Gateway, turn: Any, refused: Any) -> None:
    assert await gateway.expect_error("GET", f"/v1/turns/{turn}") == refused
