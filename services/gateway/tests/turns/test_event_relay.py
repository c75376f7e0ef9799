"""Reconnects to inference: no delta is lost or repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway, response_start
from gateway_fakes.inference import Disconnects, Ends, Inference, Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.fake_service import error
from parley_testing.session_service import FakeSessionService


async def test_every_write_ends_between_events_wherever_inference_breaks(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    sent = deltas("abc", "def")
    for cut in range(1, len(sent), 5):
        inference.script(sent[:cut], Disconnects())
        inference.script(lambda: sse.ended(session.end("abcdef")))
        async with gateway.stream() as stream:
            await stream.events()
        whole = sent[: sent.rfind(b"\n\n", 0, cut) + 2] if b"\n\n" in sent[:cut] else b""
        assert stream.raw == response_start(stream.raw, session.turn) + whole + sse.ended(
            session.turn
        )


@pytest.mark.parametrize("breaks", [Disconnects(), Ends()], ids=["cut", "without an end"])
async def test_a_broken_stream_resumes_after_the_last_event(
    gateway: Gateway, session: FakeSessionService, inference: Inference, breaks: Any
) -> None:
    inference.script(deltas("Hé", "llo"), b'id: 9\ndata: {"half', breaks)
    inference.script(deltas(" wor", after=5), breaks)
    inference.script(deltas("ld", after=9), lambda: sse.ended(session.end("Héllo world")))
    async with gateway.stream() as stream:
        events = await stream.events()
    assert inference.resume_points == [0, 5, 9]
    assert text_of(events) == "Héllo world"
    assert [event["id"] for event in events] == ["0", "2", "5", "9", "11", "end"]


async def test_a_silent_stream_is_reconnected(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(stream={"idle_timeout_seconds": 0.1})
    inference.script(deltas("a"), Stalls())
    inference.script(lambda: sse.ended(session.end("a")))
    async with gateway.stream() as stream:
        events = await stream.events()
    assert inference.resume_points == [0, 1]
    assert [event["id"] for event in events] == ["0", "1", "end"]


async def test_a_stalled_stream_ends_once_session_reports_the_end(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        constants={
            "turns.event_relay.STALL_CHECK_AFTER_SECONDS": 0.1,
            "turns.event_relay.STALL_CHECK_INTERVAL_SECONDS": 0.05,
        }
    )
    inference.script(deltas("Hel"), Stalls())
    async with gateway.stream() as stream:
        await stream.until_text(3)
        await eventually(lambda: len(session.called("get")) > 1)
        session.fail("Hello", "interrupted")
        async with asyncio.timeout(15):
            *texts, end = await stream.events()
    assert (text_of(texts), end["error"]["code"]) == ("lo", "interrupted")
    assert inference.resume_points == [0]


async def test_a_turn_never_accepted_by_inference_ends_once_session_reports_the_end(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        stream={"connect_timeout_seconds": 0.05, "reconnect_deadline_seconds": 60}
    )
    inference.stuck = asyncio.Event()
    async with gateway.stream() as stream:
        await stream.event()
        await eventually(lambda: len(session.called("get")) > 1)
        session.fail("", "interrupted")
        async with asyncio.timeout(15):
            [end] = await stream.events()
    assert end["error"]["code"] == "interrupted"


async def test_a_turn_not_accepted_in_time_is_given_to_another_replica(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(stream={"connect_timeout_seconds": 0.2})
    inference.stuck = asyncio.Event()
    async with gateway.stream() as stream:
        await stream.event()
        await eventually(lambda: inference.resume_points)
        # The next attempt has its own connection, which another replica may accept.
        inference.stuck = None
        inference.script(deltas("Hello"), lambda: sse.ended(session.end("Hello")))
        async with asyncio.timeout(15):
            *texts, end = await stream.events()
    assert (text_of(texts), end["type"]) == ("Hello", "reply.completed")
    assert inference.resume_points == [0, 0]


async def test_a_stalled_stream_ends_when_its_session_is_erased(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        constants={
            "turns.event_relay.STALL_CHECK_AFTER_SECONDS": 0.1,
            "turns.event_relay.STALL_CHECK_INTERVAL_SECONDS": 0.05,
        }
    )
    inference.script(deltas("Hel"), Stalls())
    async with gateway.stream() as stream:
        await stream.until_text(3)
        session.turns.clear()
        async with asyncio.timeout(15):
            [last] = await stream.events()
    assert last["error"]["code"] == "session_erased"


async def test_session_is_not_asked_while_the_reply_arrives(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(constants={"turns.event_relay.STALL_CHECK_AFTER_SECONDS": 0.3})
    pauses = [asyncio.Event() for _ in range(8)]
    steps: list[Any] = []
    for offset, pause in enumerate(pauses):
        steps += [pause, deltas("a", after=offset)]
        asyncio.get_running_loop().call_later(0.05 * (offset + 1), pause.set)
    inference.script(*steps, lambda: sse.ended(session.end("a" * 8)))
    async with gateway.stream() as stream:
        assert text_of(await stream.events()) == "a" * 8
    assert session.called("get") == []


async def test_heartbeats_from_inference_keep_the_stream_alive(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(stream={"idle_timeout_seconds": 0.2})
    pauses = [asyncio.Event() for _ in range(8)]
    steps: list[Any] = [step for pause in pauses for step in (pause, sse.HEARTBEAT)]
    inference.script(*steps, lambda: sse.ended(session.end("")))
    loop = asyncio.get_running_loop()
    for offset, pause in enumerate(pauses):
        loop.call_later(0.05 * (offset + 1), pause.set)
    async with gateway.stream() as stream:
        await stream.events()
    assert inference.resume_points == [0]
    assert stream.raw.count(sse.HEARTBEAT) == 8


async def test_a_busy_or_unavailable_inference_is_retried(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(error(503, "inference_busy"))
    inference.script(Disconnects())
    inference.script(lambda: sse.ended(session.end("")))
    async with gateway.stream() as stream:
        events = await stream.events()
    assert [event["id"] for event in events] == ["0", "end"]
    assert inference.resume_points == [0, 0, 0]


@pytest.mark.parametrize(
    "rubbish",
    [b"data: {}\nid: x\n\n", b"data: {}\nid: -1\n\n", b"data: " + b"x" * 9_000],
    ids=["a strange id", "a negative id", "an endless event"],
)
async def test_a_malformed_stream_is_not_relayed(
    start: Callable[..., Awaitable[Gateway]],
    session: FakeSessionService,
    inference: Inference,
    rubbish: Any,
) -> None:
    gateway = await start(constants={"turns.event_relay.MAX_EVENT_BYTES": 8_192})
    pause = asyncio.Event()
    inference.script(deltas("a"), pause, rubbish)
    inference.script(lambda: sse.ended(session.end("a")))
    async with gateway.stream() as stream:
        await stream.until_text(1)
        pause.set()
        await stream.events()
    assert stream.raw == response_start(stream.raw, session.turn) + deltas("a") + sse.ended(
        session.turn
    )


async def test_text_before_a_malformed_end_is_not_lost(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    def ends_badly() -> Any:
        session.end("Hello")
        return deltas("Hel") + b"data: {}\nid: end\n\n"

    inference.script(ends_badly)
    async with gateway.stream() as stream:
        *texts, end = await stream.events()
    assert (text_of(texts), end["type"]) == ("Hello", "reply.completed")


async def test_when_inference_stays_unavailable_the_stream_ends_without_an_end(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    inference.script(deltas("a"), Disconnects())
    async with gateway.stream() as stream:
        events = await stream.events()
    assert [event["id"] for event in events] == ["0", "1"]
    assert len(inference.resume_points) > 3
    assert inference.open == 0


async def test_each_outage_has_its_own_deadline(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(
        stream={"reconnect_deadline_seconds": 0.2},
        constants={
            "turns.event_relay.RECONNECT_INITIAL_SECONDS": 0.1,
            "turns.event_relay.RECONNECT_MAX_SECONDS": 0.1,
        },
    )
    for offset in range(6):
        inference.script(deltas("a", after=offset), Disconnects())
    inference.script(lambda: sse.ended(session.end("a" * 6)))
    async with gateway.stream() as stream:
        assert text_of(await stream.events()) == "a" * 6


async def test_a_turn_that_ended_during_an_outage_is_replayed_from_session(
    gateway: Gateway, session: FakeSessionService, inference: Inference
) -> None:
    def fail() -> bytes:
        session.fail("abc", "interrupted")
        return b""

    inference.script(deltas("ab"), fail, Disconnects())
    async with gateway.stream() as stream:
        *_, last_delta, last = await stream.events()
    assert (last_delta["delta"], last_delta["id"]) == ("c", "3")
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "interrupted")


async def test_a_turn_unknown_to_inference_ends_the_stream_at_once(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(stream={"reconnect_deadline_seconds": 60})
    inference.script(error(404, "turn_not_found"))
    async with asyncio.timeout(15), gateway.stream() as stream:
        assert [event["id"] for event in await stream.events()] == ["0"]
    assert len(inference.resume_points) == 1
