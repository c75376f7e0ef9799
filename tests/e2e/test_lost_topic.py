"""The topic is dropped while people chat: it is filled again from the event store."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from stack.conversations import a_crowd
from stack.model_server import ModelServer
from stack.parley import Stack
from stack.topic import TOPIC, last_sequences, records_in_topic

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPLICAS = "session=2,history-project=2,history-serve=2"


async def test_a_dropped_topic_is_filled_again_and_history_is_made_from_it(
    own_stack: Stack, model_server: ModelServer
) -> None:
    async with own_stack.running("--replicas", REPLICAS, **model_server.settings):
        crowd = await a_crowd(own_stack, 4)
        await crowd.say(times=3)
        await crowd.require_whole_history()
        async with crowd.talking():
            await drop_topic(own_stack)
            await crowd.until_more(8)
            restored = await own_stack.command("log", "restore")
            assert restored.code == 0, restored
            await crowd.until_more(4)
            rebuilt = await own_stack.command("rebuild", "history")
            assert rebuilt.code == 0, rebuilt
        await crowd.require_whole_history()
        crowd.require_all_completed()
        assert crowd.retries == 0
        reached = last_sequences(await records_in_topic(own_stack.address("kafka")))
        assert reached == {each.session_id: each.version for each in crowd.conversations}
        verified = await own_stack.command("log", "verify")
        assert verified.code == 0, verified
    await own_stack.close()


async def drop_topic(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.address("kafka"))
    await admin.start()
    await admin.delete_topics([TOPIC])
    await admin.close()
