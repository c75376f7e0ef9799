"""Streams resumed after any event, during the reply and afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway, another_id
from gateway_fakes.inference import Disconnects, Inference, Stalls, deltas

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import EventStream, text_of
from parley_testing.session_service import FakeSessionService


@asynccontextmanager
async def resumed(
    gateway: Gateway, turn_id: Any, last: Any = None, query: Any = ""
) -> AsyncIterator[Any]:
    headers = {} if last is None else {"last_event_id": last}
    async with gateway.request("GET", f"/v1/turns/{turn_id}/stream{query}", **headers) as answer:
        assert answer.status == 200, await answer.text()
        yield EventStream(answer, answer.content.readany)


@pytest.fixture
async def turn(gateway: Gateway, session: FakeSessionService, inference: Inference) -> Any:
    """One that runs, and whose first client has left."""
    inference.script(Stalls())
    path = "/v1/sessions/0199c1f0-7a10-7c52-9d3e-6f1a2b3c4d5e/messages"
    _, turn = await gateway.post(path, {"content": "Hi", "background": True})
    return turn


@pytest.mark.parametrize(
    ("last", "query"), [("3", ""), (None, "?starting_after=3"), ("3", "?starting_after=1")]
)
async def test_a_running_turn_resumes_after_the_last_event_id(
    gateway: Gateway,
    session: FakeSessionService,
    inference: Inference,
    turn: Any,
    last: Any,
    query: Any,
) -> None:
    inference.script(deltas("lo", after=3), lambda: sse.ended(session.end("Hello")))
    async with resumed(gateway, turn["id"], last, query) as stream:
        *texts, end = await stream.events()
    assert inference.resume_points[-1] == 3
    assert text_of(texts) == "lo"
    assert (end["type"], end["id"]) == ("reply.completed", "end")


async def test_without_a_last_event_id_the_stream_starts_with_turn_started(
    gateway: Gateway, session: FakeSessionService, inference: Inference, turn: Any
) -> None:
    inference.script(deltas("Hello"), lambda: sse.ended(session.end("Hello")))
    async with resumed(gateway, turn["id"]) as stream:
        started, *texts, _ = await stream.events()
    assert (started["type"], started["turn_id"]) == ("turn.started", turn["id"])
    assert text_of(texts) == "Hello"


async def test_an_ended_turn_is_replayed_from_the_store(
    gateway: Gateway, session: FakeSessionService, inference: Inference, turn: Any
) -> None:
    session.end("Grüße 🎈!")
    inference.is_unavailable = True
    for offset in range(8):
        async with resumed(gateway, turn["id"], str(offset)) as stream:
            *texts, end = await stream.events()
        assert text_of(texts) == "Grüße 🎈!"[offset:]
        assert end["sequence_number"] == 8


@pytest.mark.parametrize("offset", [6, 900, 2**31 - 1])
async def test_an_id_past_the_end_gets_only_the_end(
    gateway: Gateway, session: FakeSessionService, inference: Inference, turn: Any, offset: Any
) -> None:
    inference.script(lambda: sse.ended(session.end("Hello")))
    for _ in ("while it runs", "afterwards"):
        async with resumed(gateway, turn["id"], str(offset)) as stream:
            [end] = await stream.events()
        assert (end["type"], end["sequence_number"]) == ("reply.completed", 5)
    assert inference.resume_points[1:] == [offset]


async def test_resuming_after_the_end_is_a_204(
    gateway: Gateway, session: FakeSessionService, turn: Any
) -> None:
    session.end("Hello")
    path = f"/v1/turns/{turn['id']}/stream"
    async with gateway.request("GET", path, last_event_id="end") as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_head_does_not_wait_for_the_reply(
    gateway: Gateway, inference: Inference, turn: Any
) -> None:
    asked = len(inference.resume_points)
    path = f"/v1/turns/{turn['id']}/stream"
    async with asyncio.timeout(15), gateway.request("HEAD", path) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert "content-length" not in answer.headers
    async with gateway.request("GET", "/livez") as answer:
        assert answer.status == 200
    assert len(inference.resume_points) == asked


async def test_a_resumed_stream_survives_a_broken_inference(
    gateway: Gateway, session: FakeSessionService, inference: Inference, turn: Any
) -> None:
    inference.script(deltas("lo", after=3), Disconnects())
    inference.script(lambda: sse.ended(session.end("Hello")))
    async with resumed(gateway, turn["id"], "3") as stream:
        *texts, end = await stream.events()
    assert (text_of(texts), end["type"]) == ("lo", "reply.completed")
    assert inference.resume_points[-2:] == [3, 5]


@pytest.mark.parametrize(
    ("last", "query", "param"),
    [
        ("-1", "", "Last-Event-ID"),
        ("x", "", "Last-Event-ID"),
        ("9999999999", "", "Last-Event-ID"),
        ("01", "", "Last-Event-ID"),
        (None, "?starting_after=1.0", "starting_after"),
        (None, "?starting_after=%2B1", "starting_after"),
        (None, "?starting_after=-1", "starting_after"),
        (None, "?starting_after=1&starting_after=2", "starting_after"),
        (None, "?after=1", "after"),
    ],
)
async def test_an_invalid_last_event_id_is_rejected(
    gateway: Gateway, session: FakeSessionService, turn: Any, last: Any, query: Any, param: Any
) -> None:
    headers = {} if last is None else {"last_event_id": last}
    path = f"/v1/turns/{turn['id']}/stream{query}"
    assert await gateway.expect_error("GET", path, **headers) == (400, "invalid_request", param)


async def test_an_unknown_turn_has_no_stream(gateway: Gateway, session: FakeSessionService) -> None:
    for last in ({}, {"last_event_id": "end"}):
        refused = await gateway.expect_error("GET", f"/v1/turns/{another_id()}/stream", **last)
        assert refused[:2] == (404, "turn_not_found")


async def test_many_clients_resume_one_turn_concurrently(
    gateway: Gateway, session: FakeSessionService, inference: Inference, turn: Any
) -> None:
    session.end("Hello")

    async def read(offset: Any) -> Any:
        async with resumed(gateway, turn["id"], str(offset)) as stream:
            return text_of((await stream.events())[:-1])

    texts = await asyncio.gather(*(read(offset % 6) for offset in range(30)))
    assert texts == ["Hello"[offset % 6 :] for offset in range(30)]
