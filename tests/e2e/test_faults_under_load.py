"""Processes killed while many people chat: nothing is lost, nothing comes twice, order is kept."""

import os
import signal

import pytest
from stack.conversations import Crowd, a_crowd
from stack.parley import Stack
from stack.topic import last_sequences, records_in_topic

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PEOPLE = 15


async def test_a_killed_session_service_makes_each_message_once(stack: Stack) -> None:
    crowd = await a_crowd(stack, PEOPLE)
    async with crowd.talking():
        await crowd.until_more(PEOPLE)
        stack.kill("session")
        await crowd.until_more(3 * PEOPLE)
    assert crowd.retries
    await require_all_kept(crowd, stack)


async def test_a_killed_database_keeps_what_was_acknowledged(stack: Stack) -> None:
    crowd = await a_crowd(stack, PEOPLE)
    async with crowd.talking():
        await crowd.until_more(PEOPLE)
        stack.kill("postgres")
        await crowd.until_more(2 * PEOPLE)
    assert crowd.retries
    await require_all_kept(crowd, stack)


async def test_a_relay_and_a_broker_killed_in_the_middle_of_a_batch_lose_nothing(
    stack: Stack,
) -> None:
    crowd = await a_crowd(stack, PEOPLE)
    broker, relay = stack.pid("kafka"), stack.pid("session")
    os.kill(broker, signal.SIGSTOP)
    # Chat goes on without Kafka; the outbox fills, and the relay waits for an answer that it will
    # never get to a batch that nobody will write.
    await crowd.say(times=2)
    assert not crowd.retries
    os.kill(relay, signal.SIGKILL)
    os.kill(broker, signal.SIGKILL)
    await crowd.say()
    await require_all_kept(crowd, stack)


async def test_a_killed_broker_stops_no_chat_and_loses_nothing(stack: Stack) -> None:
    crowd = await a_crowd(stack, PEOPLE)
    async with crowd.talking():
        await crowd.until_more(PEOPLE)
        stack.kill("kafka")
        await crowd.until_more(4 * PEOPLE)
    assert not crowd.retries
    await require_all_kept(crowd, stack)


async def test_a_projector_killed_in_the_middle_of_a_backlog_projects_each_event_once(
    stack: Stack,
) -> None:
    crowd = await a_crowd(stack, PEOPLE)
    await crowd.require_whole_history()
    projector = stack.pid("history-project")
    os.kill(projector, signal.SIGSTOP)
    await crowd.say(times=10)
    os.kill(projector, signal.SIGCONT)
    await eventually(lambda: some_are_projected(crowd), within=20)
    os.kill(projector, signal.SIGKILL)
    assert await some_are_behind(crowd)
    await require_all_kept(crowd, stack)


async def require_all_kept(crowd: Crowd, stack: Stack) -> None:
    """Every turn ended well, is in history once, and in the log in its order."""
    crowd.require_all_completed()
    await crowd.require_whole_history()
    broker = stack.address("kafka")
    reached = last_sequences(await records_in_topic(broker))
    for conversation in crowd.conversations:
        assert reached[conversation.session_id] == conversation.version
    await stack.until_ready()


async def some_are_projected(crowd: Crowd) -> bool:
    return any([await _projected(crowd, place) > 1 for place in (0, -1)])


async def some_are_behind(crowd: Crowd) -> bool:
    places = range(len(crowd.conversations))
    versions = [await _projected(crowd, place) for place in places]
    return any(
        version < conversation.version
        for version, conversation in zip(versions, crowd.conversations, strict=True)
    )


async def _projected(crowd: Crowd, place: int) -> int:
    conversation = crowd.conversations[place]
    # Of the past, so that nobody waits for what this person has written since.
    page = await conversation.person.history(conversation.session_id, limit=1, as_of=1)
    return int(page["version"] or 0)
