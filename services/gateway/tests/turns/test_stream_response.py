"""A message whose reply is streamed: exactly the bytes that inference sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway, response_start
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_contracts import turn_sse as sse
from parley_core.auth.principal import Principal
from parley_gateway.turns.event_relay import TurnEventRelay
from parley_gateway.turns.stream_response import TurnStreamResponse
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService


async def test_a_stream_is_turn_started_and_the_bytes_of_inference(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hél", "lo 😀"), lambda: sse.ended(session.end("Héllo 😀")))
    async with gateway.stream("Bonjour") as stream:
        events = await stream.events()
    assert stream.response.status == 200
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["cache-control"] == "no-store"
    assert stream.response.headers["x-accel-buffering"] == "no"
    assert stream.raw == b"".join(
        (response_start(stream.raw, session.turn), deltas("Hél", "lo 😀"), sse.ended(session.turn))
    )
    assert [event["id"] for event in events] == ["0", "3", "7", "end"]


async def test_session_and_inference_are_called_on_behalf_of_the_user(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(lambda: sse.ended(session.end("")))
    bearer = token(sub="ada", tenant="acme", scope="admin audit:read")
    more = {"bearer": bearer, "x_request_id": "req-1", "idempotency_key": "k-1"}
    async with gateway.stream("Hi", **more) as stream:
        await stream.events()
    assert stream.response.headers["x-request-id"] == "req-1"
    [submitted], [asked] = session.calls, inference.calls
    ada = Principal("acme", "ada", frozenset(("admin", "audit:read")))
    assert submitted.principal == asked.principal == ada
    assert submitted.request_id == asked.request_id == "req-1"
    assert (submitted.method, submitted.path) == ("POST", f"/sessions/{SESSION_ID}/messages")
    assert (submitted.key, submitted.body) == ("k-1", {"content": "Hi"})
    assert asked.path == f"/turns/{session.turn.id}/stream"
    assert asked.body == {"session_id": str(SESSION_ID), "after": 0}


async def test_turn_started_is_sent_before_inference_accepts_the_turn(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    paused = asyncio.Event()
    inference.script(paused, lambda: sse.ended(session.end("")))
    async with gateway.stream() as stream:
        first = await stream.event()
        assert first is not None
        assert first["type"] == "turn.started"
        assert stream.raw == response_start(stream.raw, session.turn)
        paused.set()
        await stream.events()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_events_split_anywhere_are_relayed_whole_and_unchanged(
    gateway: Gateway, session: FakeSessionService, inference: Inference, size: Any
) -> None:
    sent = deltas("é\n\n", "id: 9\n", "😀") + sse.HEARTBEAT + deltas("b", after=10)
    inference.script(
        *(sent[at : at + size] for at in range(0, len(sent), size)),
        lambda: sse.ended(session.end("é\n\nid: 9\n😀b")),
    )
    async with gateway.stream() as stream:
        assert text_of(await stream.events()) == "é\n\nid: 9\n😀b"
    assert stream.raw == response_start(stream.raw, session.turn) + sent + sse.ended(session.turn)


async def test_a_repeated_request_streams_the_reply_from_its_start(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("Hi"), lambda: sse.ended(session.end("Hi")))
    async with gateway.stream(idempotency_key="k") as first:
        await first.events()
    inference.is_unavailable = True
    async with gateway.stream(idempotency_key="k") as again:
        await again.events()
    start = response_start(first.raw, session.turn)
    assert (
        again.raw.removeprefix(response_start(again.raw, session.turn)) == first.raw[len(start) :]
    )
    assert len(inference.resume_points) == len(session.turns) == 1


async def test_a_disconnected_client_ends_only_its_relay(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("a"), Stalls())
    async with gateway.stream() as stream:
        await stream.until_text(1)
        assert inference.open == 1
    await eventually(lambda: inference.open == 0)
    assert len(inference.resume_points) == 1


async def test_a_turn_is_handed_over_before_its_relay_is_cancelled(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(stream={"reconnect_deadline_seconds": 60})
    for _ in range(4):
        inference.script(error(503, "inference_busy"))
    inference.script(Stalls())
    async with gateway.stream() as stream:
        await stream.event()
    await eventually(lambda: len(inference.resume_points) == 5)
    await eventually(lambda: inference.open == 0)
    assert len(inference.resume_points) == 5


async def test_heartbeats_are_sent_while_inference_is_unavailable(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        stream={"reconnect_deadline_seconds": 60},
        constants={
            "http.sse_response.HEARTBEAT_SECONDS": 0.02,
            "turns.event_relay.RECONNECT_MAX_SECONDS": 0.05,
        },
    )
    async with gateway.stream() as stream:
        await stream.event()
        while stream.raw.count(sse.HEARTBEAT) < 3:
            stream.raw += await stream.response.content.readany()
        inference.script(lambda: sse.ended(session.end("")))
        assert [event["id"] for event in await stream.events()] == ["end"]


async def test_a_busy_stream_carries_no_heartbeats(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(constants={"http.sse_response.HEARTBEAT_SECONDS": 0.2})
    pauses = [asyncio.Event() for _ in range(12)]
    steps: list[Any] = []
    for offset, pause in enumerate(pauses):
        steps += [pause, deltas("a", after=offset)]
        asyncio.get_running_loop().call_later(0.05 * (offset + 1), pause.set)
    inference.script(*steps, lambda: sse.ended(session.end("a" * 12)))
    async with gateway.stream() as stream:
        await stream.events()
    assert sse.HEARTBEAT not in stream.raw


async def test_inference_is_called_before_turn_started_is_sent() -> None:
    happened = []

    class Events:
        session_erased = False
        handed_over = asyncio.Event()
        handover_timeout_seconds = 5

        def started(self) -> Any:
            happened.append("started")
            return b"started"

        async def read(self) -> AsyncIterator[Any]:
            happened.append("asked")
            yield b"more"

    async def send(message: Any) -> None:
        happened.append(message.get("body"))

    async def receive() -> Any:
        await asyncio.Event().wait()

    stop = asyncio.get_running_loop().create_future()
    await TurnStreamResponse(cast(TurnEventRelay, Events())).send_events(receive, send, stop)
    assert happened == ["asked", "started", None, b"started", b"more", b""]
