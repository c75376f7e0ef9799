"""Resuming a stream from any event, without a lost or repeated character."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import TOKEN, ModelServer
from e2e_support.stack import Stack
from e2e_support.user import TurnStream, User

from parley_testing.event_stream import text_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stream_resumed_after_every_event_loses_and_repeats_nothing(
    ada: User, model_server: ModelServer
) -> None:
    session, text = await ada.start_session(), f"[gate 30] {uuid4()}"
    async with ada.stream(session, text) as turn:
        started = await turn.started()
        seen = [await next_event(turn)]
    model_server.open_gate(text)
    while seen[-1]["id"] != "end":
        async with ada.resume(started["turn_id"], seen[-1]["id"]) as turn:
            seen.append(await next_event(turn))
    assert text_of(seen) == 60 * TOKEN
    assert seen[-1]["message"]["content"] == 60 * TOKEN


async def test_an_ended_turn_is_streamed_from_any_offset(ada: User) -> None:
    turn = await ada.send(await ada.start_session(), "[tokens 5]")
    content = turn["reply"]["content"]
    for offset in range(len(content) + 1):
        async with ada.resume(turn["id"], str(offset)) as stream:
            *texts, end = await stream.events()
        assert text_of(texts) == content[offset:]
        assert end["message"] == turn["reply"]
    over = await ada.request("GET", f"/turns/{turn['id']}/stream", headers={"last-event-id": "end"})
    assert (over.status_code, over.content) == (204, b"")


async def test_a_stream_is_resumed_after_its_gateway_was_killed(
    ada: User, model_server: ModelServer, stack: Stack
) -> None:
    session, text = await ada.start_session(), f"[gate 3] {uuid4()}"
    async with ada.stream(session, text) as turn:
        started = await turn.started()
        first = await next_event(turn)
        stack.kill("gateway")
        with pytest.raises(httpx2.TransportError):
            await turn.events()
    model_server.open_gate(text)
    async with asyncio.timeout(20):
        *rest, end = await resumed_events(ada, started["turn_id"], first["id"])
    assert text_of([first, *rest]) == 6 * TOKEN
    assert end["type"] == "reply.completed"


async def test_resuming_past_the_end_returns_the_end_at_once(ada: User) -> None:
    turn = await ada.send(await ada.start_session(), "[tokens 5]")
    length = len(turn["reply"]["content"])
    async with asyncio.timeout(15), ada.resume(turn["id"], str(length + 1_000)) as stream:
        [end] = await stream.events()
    assert (end["type"], end["sequence_number"]) == ("reply.completed", length)


async def test_a_stream_of_another_user_or_an_erased_session_is_not_found(
    ada: User, stack: Stack
) -> None:
    session = await ada.start_session()
    turn = await ada.send(session, "Hello")
    path = f"/turns/{turn['id']}/stream"
    stranger = await stack.user(f"eve-{uuid4()}").expect_error("GET", path)
    await ada.delete(f"/sessions/{session}")
    async with asyncio.timeout(15):
        erased = await ada.expect_error("GET", path)
    assert stranger == erased
    assert (erased[0], erased[1]["code"]) == (404, "turn_not_found")


async def test_erasing_a_session_ends_the_streams_of_its_reply(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        async with ada.resume(started["turn_id"], "0") as other:
            await other.until_text(3 * len(TOKEN))
            await ada.delete(f"/sessions/{session}")
            async with asyncio.timeout(15):
                left = [*await turn.events(), *await other.events()]
    assert text_of(left) == ""
    assert "reply.completed" not in [event["type"] for event in left]


async def test_a_stream_ticket_authorizes_its_stream_only(ada: User, stack: Stack) -> None:
    session = await ada.start_session()
    async with ada.stream(session, "[tokens 5]") as turn:
        started, *_ = await turn.events()
    url = started["stream_url"]
    opened = await stack.fetch(url)
    assert opened.status_code == 200
    assert opened.headers["cache-control"] == "no-store"
    assert opened.text.count("\nid: ") == 3  # Its start, its text and its end.
    ticket = url.partition("?")[2]
    other = await ada.send(session, "Hello")
    for path in (
        url[:-1],
        f"/v1/turns/{other['id']}/stream?{ticket}",
        f"/v1/turns/{started['turn_id']}?{ticket}",
        f"/v1/history/{session}?{ticket}",
    ):
        assert (await stack.fetch(path)).status_code == 401


async def next_event(turn: TurnStream) -> dict[str, Any]:
    event = await turn.event()
    assert event is not None
    return event


async def resumed_events(ada: User, turn_id: str, last: str) -> list[dict[str, Any]]:
    """All events after `last`, as soon as a gateway answers."""
    while True:
        try:
            async with ada.resume(turn_id, last) as turn:
                return await turn.events()
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
