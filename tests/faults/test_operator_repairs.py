"""Repairs of the log while users chat: an undecodable record, a deleted topic."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from e2e_support.chat_load import start_chat_load
from e2e_support.kafka_records import TOPIC, last_sequences, read_records
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPLICAS = "gateway=2,session=2,inference=2,history-project=2,history-serve=2"
PAUSE_SECONDS = 0.1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(engine_cache: Path) -> AsyncIterator[Stack]:
    async with (
        ModelServer.serve() as model_server,
        new_stack(engine_cache) as stack,
        stack.running("--replicas", REPLICAS, **model_server.settings),
    ):
        yield stack


async def test_an_undecodable_record_parks_its_session_until_it_is_discarded(
    stack: Stack,
) -> None:
    ada = stack.user("ada")
    parked, other = await ada.start_session(), await ada.start_session()
    await ada.send(parked, "Before")
    await ada.messages(parked, 4)
    position = await write_garbage(stack, parked)
    after = await ada.send(parked, "After")
    assert (await ada.send(other, "Elsewhere"))["status"] == "completed"
    await ada.messages(other, 4)

    async def is_listed() -> bool:
        listed = await stack.stdout_of("log", "dead-letters", "list")
        return position in listed and parked in listed

    await eventually(is_listed)
    behind = await ada.get(f"/history/{parked}", allow_behind="true")
    assert (behind["version"], behind["behind"]) == (4, True)
    printed = await stack.stdout_of("log", "dead-letters", "show", position)
    assert "not an event" in printed
    refused = await stack.run_command("rebuild", "history")
    assert refused.exit_code == 1
    assert f"discard {position}" in refused.stderr

    discarding = ("log", "dead-letters", "discard", position, "--reason", "written by a test")
    assert (await stack.run_command(*discarding)).exit_code == 0
    messages = await ada.messages(parked, after["version"])
    assert [message["content"] for message in messages[2:]] == ["After", "Answer to: After"]
    rebuilt = await stack.run_command("rebuild", "history")
    assert rebuilt.exit_code == 0, rebuilt
    assert await ada.messages(parked, after["version"]) == messages


async def test_a_deleted_topic_is_restored_from_the_event_store(stack: Stack) -> None:
    load = await start_chat_load(stack, 4)
    await load.send_each(times=3)
    await load.assert_complete_history()
    retries = load.retries
    async with load.running(PAUSE_SECONDS):
        await delete_topic(stack)
        await load.wait_for_turns(8)
        restored = await stack.run_command("log", "restore")
        assert restored.exit_code == 0, restored
        await load.wait_for_turns(4)
        rebuilt = await stack.run_command("rebuild", "history")
        assert rebuilt.exit_code == 0, rebuilt
    load.assert_all_completed()
    # Reads may be answered as behind, turns may not.
    assert load.retries == retries
    await load.assert_complete_history()
    reached = last_sequences(await read_records(stack.kafka))
    acknowledged = {each.session_id: each.version for each in load.conversations}
    assert acknowledged.items() <= reached.items()
    verified = await stack.run_command("log", "verify")
    assert verified.exit_code == 0, verified


async def delete_topic(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(**stack.kafka)
    await admin.start()
    await admin.delete_topics([TOPIC])
    await admin.close()


async def write_garbage(stack: Stack, session: str) -> str:
    """Write an undecodable record with the session's key; return its `partition:offset`."""
    async with AIOKafkaProducer(**stack.kafka) as producer:
        written = await producer.send_and_wait(TOPIC, b"not an event", session.encode())
    return f"{written.partition}:{written.offset}"
