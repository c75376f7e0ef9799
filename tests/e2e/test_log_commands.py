"""`parley log` and `parley rebuild` while users chat."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from e2e_support.chat_load import Conversation, start_chat_load
from e2e_support.stack import Stack
from e2e_support.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAUSE_SECONDS = 0.3
TURN = ["session_started", "message_submitted", "reply_requested", "reply_completed"]


async def test_tail_prints_the_events_of_a_session_in_order_without_content(
    ada: User, stack: Stack
) -> None:
    session, words = await ada.start_session(), f"words {uuid4()}"
    await ada.send(session, words)
    await ada.messages(session, len(TURN))
    output = await stack.stdout_of("log", "tail", "--session", session, "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["type"].split(".")[2] for event in events] == TURN
    assert words not in output
    assert words not in await stack.stdout_of("log", "tail", "--session", session)


async def test_tail_with_content_prints_the_decrypted_text(ada: User, stack: Stack) -> None:
    session, words = await ada.start_session(), f"words {uuid4()}"
    await ada.send(session, words)
    await ada.messages(session, len(TURN))
    printed = await stack.stdout_of("log", "tail", "--session", session, "--content")
    assert printed.count(words) == 2  # The message, and the reply that repeats it.


async def test_verify_finds_no_difference_while_users_chat(stack: Stack) -> None:
    load = await start_chat_load(stack, 4)
    async with load.running(PAUSE_SECONDS):
        await load.wait_for_turns(4)
        verified = await stack.run_command("log", "verify")
    assert verified.exit_code == 0, verified
    assert "swap" not in verified.stdout + verified.stderr
    await load.assert_complete_history()


async def test_a_rebuild_is_invisible_to_readers_and_can_be_rolled_back(
    stack: Stack,
) -> None:
    load = await start_chat_load(stack, 4)
    async with load.running(PAUSE_SECONDS), reading(load.conversations[0]):
        await load.wait_for_turns(4)
        rebuilt = await stack.run_command("rebuild", "history")
        assert rebuilt.exit_code == 0, rebuilt
        await load.wait_for_turns(4)
        rolled_back = await stack.run_command("rebuild", "history", "--rollback")
        assert rolled_back.exit_code == 0, rolled_back
        await load.wait_for_turns(4)
    await load.assert_complete_history()


@asynccontextmanager
async def reading(conversation: Conversation) -> AsyncIterator[None]:
    """A client reads within the block and never receives an older version."""
    stopping = asyncio.Event()

    async def read() -> int:
        last, count = 0, 0
        while not stopping.is_set():
            page = await conversation.user.history(conversation.session_id, limit=1)
            assert page["version"] >= last
            last, count = page["version"], count + 1
            await asyncio.sleep(PAUSE_SECONDS / 4)
        return count

    reader = asyncio.create_task(read())
    try:
        yield
    finally:
        stopping.set()
        assert await reader > 10
