"""What an operator and an analyst do with the log while people chat."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from stack.conversations import Conversation, a_crowd
from stack.parley import Stack
from stack.person import Person
from stack.topic import TOPIC

from parley_testing.eventually import eventually

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


async def test_a_record_that_is_no_event_parks_its_session_until_it_is_discarded(
    ada: Person, stack: Stack
) -> None:
    parked, other = await ada.start_session(), await ada.start_session()
    await ada.ask(parked, "Before")
    await ada.messages(parked, 4)
    place = await write_garbage(stack, parked)
    after = await ada.ask(parked, "After")
    assert (await ada.ask(other, "Elsewhere"))["status"] == "completed"
    await ada.messages(other, 4)

    async def is_listed() -> bool:
        listed = await stack.output_of("log", "dead-letters", "list")
        return place in listed and parked in listed

    await eventually(is_listed, within=20)
    assert (await ada.history(parked))["version"] == 4
    shown = await stack.output_of("log", "dead-letters", "show", place)
    assert "this is no event" in shown
    stopped = await stack.command("rebuild", "history")
    assert stopped.code == 1
    assert f"discard {place}" in stopped.error

    discarding = ("log", "dead-letters", "discard", place, "--reason", "written by a test")
    assert (await stack.command(*discarding)).code == 0
    messages = await ada.messages(parked, after["version"])
    assert [message["content"] for message in messages[2:]] == ["After", "Answer to: After"]
    rebuilt = await stack.command("rebuild", "history")
    assert rebuilt.code == 0, rebuilt
    assert await ada.messages(parked, after["version"]) == messages


async def write_garbage(stack: Stack, session: str) -> str:
    """A record with the session's key, from somebody who should not write there."""
    async with AIOKafkaProducer(bootstrap_servers=stack.address("kafka")) as producer:
        written = await producer.send_and_wait(TOPIC, b"this is no event", session.encode())
    return f"{written.partition}:{written.offset}"


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
