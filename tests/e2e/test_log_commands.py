"""What an operator and an analyst do with the log while people chat."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from stack.conversations import Conversation, a_crowd
from stack.parley import Stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURN = ["session_started", "message_submitted", "reply_requested", "reply_completed"]


async def test_tail_shows_the_events_of_a_session_in_order_and_no_text(
    ada: Person, stack: Stack
) -> None:
    session, words = await ada.start_session(), f"words {uuid4()}"
    await ada.ask(session, words)
    await ada.messages(session, len(TURN))
    output = await stack.output_of("log", "tail", "--session", session, "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["type"].split(".")[2] for event in events] == TURN
    assert words not in output
    assert words not in await stack.output_of("log", "tail", "--session", session)


async def test_tail_shows_text_to_whoever_has_the_key_and_asks_for_it(
    ada: Person, stack: Stack
) -> None:
    session, words = await ada.start_session(), f"words {uuid4()}"
    await ada.ask(session, words)
    await ada.messages(session, len(TURN))
    shown = await stack.output_of("log", "tail", "--session", session, "--content")
    assert shown.count(words) == 2  # The question, and the answer that repeats it.


async def test_verify_finds_no_difference_while_people_chat(stack: Stack) -> None:
    crowd = await a_crowd(stack, 4)
    async with crowd.talking():
        await crowd.until_more(4)
        said = await stack.command("log", "verify")
    assert said.code == 0, said
    await crowd.require_whole_history()


async def test_a_rebuild_while_people_chat_is_seen_by_nobody_and_can_be_taken_back(
    stack: Stack,
) -> None:
    crowd = await a_crowd(stack, 4)
    async with crowd.talking(), reading(crowd.conversations[0]):
        await crowd.until_more(4)
        rebuilt = await stack.command("rebuild", "history")
        assert rebuilt.code == 0, rebuilt
        await crowd.until_more(4)
        taken_back = await stack.command("rebuild", "history", "--rollback")
        assert taken_back.code == 0, taken_back
        await crowd.until_more(4)
    await crowd.require_whole_history()


@asynccontextmanager
async def reading(conversation: Conversation) -> AsyncIterator[None]:
    """Somebody reads all the while, and never sees the session go back."""
    enough = asyncio.Event()

    async def read() -> int:
        last, count = 0, 0
        while not enough.is_set():
            page = await conversation.person.history(conversation.session_id, limit=1)
            assert page["version"] >= last
            last, count = page["version"], count + 1
        return count

    reader = asyncio.create_task(read())
    try:
        yield
    finally:
        enough.set()
        assert await reader > 10
