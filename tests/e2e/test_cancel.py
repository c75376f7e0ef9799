"""Cancelling a turn ends its reply for every reader and keeps the partial text."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from e2e_support.model_server import TOKEN
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

# From the response to the cancel request to the end of the stream; heartbeats are 0.5 s apart.
MAX_SECONDS = 1


async def test_a_cancelled_reply_ends_within_a_second_and_keeps_its_partial_text(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        await ada.post(f"/turns/{started['turn_id']}/cancel", {})
        async with asyncio.timeout(MAX_SECONDS):
            *_, end = await turn.events()
    assert (end["type"], end["message"]["status"]) == ("reply.cancelled", "cancelled")
    assert end["message"]["content"] == 3 * TOKEN
    # The session accepts the next message immediately, and history contains both turns.
    after = await ada.send(session, "Go on")
    messages = await ada.messages(session, after["version"])
    assert messages[1] == end["message"]
    assert [message["status"] for message in messages] == [
        "completed",
        "cancelled",
        "completed",
        "completed",
    ]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "JSON"])
async def test_every_message_right_after_a_cancel_follows_the_stopped_reply(
    ada: User, streamed: bool
) -> None:
    session = await ada.start_session()
    for _ in range(20):
        async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
            started = await turn.started()
            await turn.until_text(3 * len(TOKEN))
            await ada.post(f"/turns/{started['turn_id']}/cancel", {})
            after = await send_next(ada, session, streamed)
            *_, end = await turn.events()
        assert end["type"] == "reply.cancelled"
        assert after["parent_message_id"] == end["message"]["id"] == started["reply_id"]
        messages = await ada.messages(session, after["version"])
        stored = next(each for each in messages if each["id"] == started["reply_id"])
        assert stored == end["message"]
        assert stored["content"] == 3 * TOKEN


async def test_a_message_interrupts_the_reply_that_another_tab_streams(ada: User) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        await turn.started()
        await turn.until_text(3 * len(TOKEN))
        status, error = await ada.expect_error(
            "POST", f"/sessions/{session}/messages", json={"content": "Go on"}
        )
        assert (status, error["code"]) == (409, "turn_open")
        after = await ada.post(
            f"/sessions/{session}/messages", {"content": "Go on", "on_open_turn": "interrupt"}
        )
        *_, end = await turn.events()
    assert (end["type"], end["message"]["content"]) == ("reply.cancelled", 3 * TOKEN)
    assert after["status"] == "completed"
    assert after["message"]["parent_message_id"] == end["message"]["id"]


async def test_of_two_tabs_that_interrupt_both_messages_are_stored(ada: User) -> None:
    session = await ada.start_session()
    path = f"/sessions/{session}/messages"
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        await turn.until_text(3 * len(TOKEN))
        bodies = [{"content": text, "on_open_turn": "interrupt"} for text in ("One", "Two")]
        answers = await asyncio.gather(*(ada.post(path, body) for body in bodies))
        *_, end = await turn.events()
    assert end["type"] == "reply.cancelled"
    first, second = sorted((answer["message"] for answer in answers), key=lambda m: m["version"])
    assert first["parent_message_id"] == end["message"]["id"]
    reply_of_first = next(a["reply"] for a in answers if a["message"]["id"] == first["id"])
    assert second["parent_message_id"] == reply_of_first["id"]


async def send_next(ada: User, session: str, streamed: bool) -> dict[str, Any]:
    """The next message, and the session's version after its reply."""
    if not streamed:
        turn = await ada.send(session, "Go on")
        return {**turn["message"], "version": turn["version"]}
    async with ada.stream(session, "Go on") as stream:
        started = await stream.started()
        *_, end = await stream.events()
    assert end["type"] == "reply.completed"
    messages = await ada.messages(session, end["version"])
    message = next(each for each in messages if each["id"] == started["message_id"])
    return {**message, "version": end["version"]}


async def test_cancelling_an_ended_turn_changes_nothing(ada: User) -> None:
    turn = await ada.send(await ada.start_session(), "Hello")
    for _ in range(2):
        assert await ada.post(f"/turns/{turn['id']}/cancel", {}) == turn
