"""What an operator mends while people chat: a record that is no event, a topic that was dropped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from stack.conversations import a_crowd
from stack.model_server import ModelServer
from stack.parley import Stack, a_stack
from stack.topic import TOPIC, last_sequences, records_in_topic

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPLICAS = "session=2,history-project=2,history-serve=2"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broken(model_server: ModelServer, engine_cache: Path) -> AsyncIterator[Stack]:
    """A stack of its own: no other test should meet what is done to it."""
    async with (
        a_stack(engine_cache) as stack,
        stack.running("--replicas", REPLICAS, **model_server.settings),
    ):
        yield stack


async def test_a_record_that_is_no_event_parks_its_session_until_it_is_discarded(
    broken: Stack,
) -> None:
    ada = broken.person("ada")
    parked, other = await ada.start_session(), await ada.start_session()
    await ada.ask(parked, "Before")
    await ada.messages(parked, 4)
    place = await write_garbage(broken, parked)
    after = await ada.ask(parked, "After")
    assert (await ada.ask(other, "Elsewhere"))["status"] == "completed"
    await ada.messages(other, 4)

    async def is_listed() -> bool:
        listed = await broken.output_of("log", "dead-letters", "list")
        return place in listed and parked in listed

    await eventually(is_listed, within=20)
    assert (await ada.history(parked))["version"] == 4
    shown = await broken.output_of("log", "dead-letters", "show", place)
    assert "this is no event" in shown
    stopped = await broken.command("rebuild", "history")
    assert stopped.code == 1
    assert f"discard {place}" in stopped.error

    discarding = ("log", "dead-letters", "discard", place, "--reason", "written by a test")
    assert (await broken.command(*discarding)).code == 0
    messages = await ada.messages(parked, after["version"])
    assert [message["content"] for message in messages[2:]] == ["After", "Answer to: After"]
    rebuilt = await broken.command("rebuild", "history")
    assert rebuilt.code == 0, rebuilt
    assert await ada.messages(parked, after["version"]) == messages


async def test_a_dropped_topic_is_filled_again_and_history_is_made_from_it(broken: Stack) -> None:
    crowd = await a_crowd(broken, 4)
    await crowd.say(times=3)
    await crowd.require_whole_history()
    async with crowd.talking():
        await drop_topic(broken)
        await crowd.until_more(8)
        restored = await broken.command("log", "restore")
        assert restored.code == 0, restored
        await crowd.until_more(4)
        rebuilt = await broken.command("rebuild", "history")
        assert rebuilt.code == 0, rebuilt
    await crowd.require_whole_history()
    crowd.require_all_completed()
    assert crowd.retries == 0
    reached = last_sequences(await records_in_topic(broken.address("kafka")))
    acknowledged = {each.session_id: each.version for each in crowd.conversations}
    assert acknowledged.items() <= reached.items()
    verified = await broken.command("log", "verify")
    assert verified.code == 0, verified


async def drop_topic(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.address("kafka"))
    await admin.start()
    await admin.delete_topics([TOPIC])
    await admin.close()


async def write_garbage(stack: Stack, session: str) -> str:
    """A record with the session's key, from somebody who should not write there."""
    async with AIOKafkaProducer(bootstrap_servers=stack.address("kafka")) as producer:
        written = await producer.send_and_wait(TOPIC, b"this is no event", session.encode())
    return f"{written.partition}:{written.offset}"
