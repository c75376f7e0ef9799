"""Processes killed under chat load: no event is lost, duplicated or reordered."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_support.chat_load import ChatLoad, start_chat_load
from e2e_support.kafka_records import last_sequences, read_records
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

USERS = 15
# Small batches, so that a projector can be killed between and within them.
SETTINGS = {"PARLEY_HISTORY_PROJECTOR_BATCH_SIZE": "5"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(engine_cache: Path) -> AsyncIterator[Stack]:
    async with (
        ModelServer.serve() as model_server,
        new_stack(engine_cache) as stack,
        stack.running(**model_server.settings, **SETTINGS),
    ):
        yield stack


async def test_a_killed_session_service_commits_each_message_once(stack: Stack) -> None:
    load = await start_chat_load(stack, USERS)
    async with load.running():
        await load.wait_for_turns(USERS)
        stack.kill("session")
        await load.wait_for_turns(3 * USERS)
    assert load.retries
    await assert_nothing_lost(load, stack)


async def test_a_killed_database_keeps_acknowledged_messages(stack: Stack) -> None:
    load = await start_chat_load(stack, USERS)
    async with load.running():
        await load.wait_for_turns(USERS)
        stack.kill("postgres")
        await load.wait_for_turns(2 * USERS)
    assert load.retries
    await assert_nothing_lost(load, stack)


async def test_a_relay_and_a_broker_killed_during_a_batch_lose_nothing(
    stack: Stack,
) -> None:
    load = await start_chat_load(stack, USERS)
    broker, relay = stack.pid("kafka"), stack.pid("session")
    os.kill(broker, signal.SIGSTOP)
    # Chat works without Kafka: the outbox fills, and the relay waits for the acknowledgement of a
    # batch that the broker never writes.
    await load.send_each(times=2)
    assert not load.retries
    os.kill(relay, signal.SIGKILL)
    os.kill(broker, signal.SIGKILL)
    await load.send_each()
    await assert_nothing_lost(load, stack)


async def test_a_killed_broker_fails_no_turn_and_loses_nothing(stack: Stack) -> None:
    load = await start_chat_load(stack, USERS)
    async with load.running():
        await load.wait_for_turns(USERS)
        stack.kill("kafka")
        await load.wait_for_turns(4 * USERS)
    assert not load.retries
    await assert_nothing_lost(load, stack)


async def test_a_projector_killed_in_a_backlog_projects_each_event_once(
    stack: Stack,
) -> None:
    load = await start_chat_load(stack, USERS)
    await load.assert_complete_history()
    projector = stack.pid("history-project")
    os.kill(projector, signal.SIGSTOP)
    await load.send_each(times=10)
    os.kill(projector, signal.SIGCONT)
    await eventually(lambda: some_are_projected(load))
    os.kill(projector, signal.SIGKILL)
    assert await some_are_behind(load)
    await assert_nothing_lost(load, stack)


async def assert_nothing_lost(load: ChatLoad, stack: Stack) -> None:
    """Every turn completed, and is in history once and in the log in order."""
    load.assert_all_completed()
    await load.assert_complete_history()
    reached = last_sequences(await read_records(stack.kafka))
    for conversation in load.conversations:
        assert reached[conversation.session_id] == conversation.version
    await stack.wait_until_ready()


async def some_are_projected(load: ChatLoad) -> bool:
    return any([await _projected_version(load, index) > 1 for index in (0, -1)])


async def some_are_behind(load: ChatLoad) -> bool:
    indexes = range(len(load.conversations))
    versions = [await _projected_version(load, index) for index in indexes]
    return any(
        version < conversation.version
        for version, conversation in zip(versions, load.conversations, strict=True)
    )


async def _projected_version(load: ChatLoad, index: int) -> int:
    conversation = load.conversations[index]
    # A past version: otherwise read-your-writes would wait for the projection.
    page = await conversation.user.history(conversation.session_id, limit=1, as_of=1)
    return int(page["version"] or 0)
