"""The process is killed and restarted: acknowledged messages are stored once."""

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp
from session_support.client import Client
from session_support.log_reading import assert_all_in_log, outbox_is_empty
from session_support.process import session_process

from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually


class Talker:
    """A client with one session that records its requests and their acknowledgements."""

    def __init__(self) -> None:
        self.session_id, self.runner = str(uuid4()), str(uuid4())
        self.acknowledged: dict[str, str] = {}
        self.asked: list[str] = []

    async def talk(self, client: Client) -> None:
        """Submits messages until the process is gone."""
        try:
            await client.start(id=self.session_id)
            while True:
                await self.ask(client, str(uuid4()))
        except (aiohttp.ClientError, ConnectionError):
            pass

    async def ask(self, client: Client, key: str) -> None:
        self.asked.append(key)
        turn = await client.submit(self.session_id, f"question {key}", key=key)
        self.acknowledged[key] = turn["id"]
        if (await client.claim(turn["id"], self.runner))["claimed"]:
            await client.complete(turn["id"], self.runner)


async def test_nothing_acknowledged_is_lost_and_a_retry_duplicates_nothing(
    runtime_database: str, pool: Pool, kafka_bootstrap: str, log_topic: str
) -> None:
    settings: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "session_topic_sessions": log_topic,
    }
    talkers = [Talker() for _ in range(5)]

    async with session_process(runtime_database, **settings) as served:
        talks = [asyncio.create_task(talker.talk(served)) for talker in talkers]
        await eventually(lambda: all(len(t.acknowledged) > 3 for t in talkers), within=30)
        await served.kill()
        await asyncio.gather(*talks)

    async with session_process(runtime_database, **settings) as served:
        for talker in talkers:
            before = dict(talker.acknowledged)
            # The last request may or may not have been committed.
            for key in dict.fromkeys(talker.asked):
                await talker.ask(served, key)
            assert talker.acknowledged | before == talker.acknowledged
            read = await served.call("GET", f"/sessions/{talker.session_id}")
            assert read.body["version"] == 1 + 3 * len(set(talker.asked))
        await eventually(lambda: outbox_is_empty(pool))
    await assert_all_in_log(pool, kafka_bootstrap, log_topic)
