"""Stop is not disconnect: the reply ends, for everybody, with what there is of it."""

import asyncio
from uuid import uuid4

import pytest
from stack.model_server import TOKEN
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

# From the answer to the wish until the stream has ended; a heartbeat comes twice a second.
PROMISED_SECONDS = 1


async def test_a_cancelled_reply_ends_within_a_second_and_keeps_what_there_is(ada: Person) -> None:
    session = await ada.start_session()
    async with ada.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        await ada.post(f"/turns/{started['turn_id']}/cancel", {})
        async with asyncio.timeout(PROMISED_SECONDS):
            *_, end = await turn.events()
    assert (end["type"], end["message"]["status"]) == ("reply.cancelled", "cancelled")
    assert end["message"]["content"] == 3 * TOKEN
    # The session takes the next message at once, and history has both.
    after = await ada.ask(session, "Go on")
    messages = await ada.messages(session, after["version"])
    assert messages[1] == end["message"]
    assert [message["status"] for message in messages] == [
        "completed",
        "cancelled",
        "completed",
        "completed",
    ]


async def test_cancelling_again_and_too_late_changes_nothing(ada: Person) -> None:
    turn = await ada.ask(await ada.start_session(), "Hello")
    for _ in range(2):
        assert await ada.post(f"/turns/{turn['id']}/cancel", {}) == turn
