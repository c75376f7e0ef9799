"""Cancelling a turn ends its reply for every reader and keeps the partial text."""

import asyncio
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


async def test_cancelling_an_ended_turn_changes_nothing(ada: User) -> None:
    turn = await ada.send(await ada.start_session(), "Hello")
    for _ in range(2):
        assert await ada.post(f"/turns/{turn['id']}/cancel", {}) == turn
