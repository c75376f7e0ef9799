"""The process is killed and restarted: each act has its record, and the chain is whole."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiohttp
from session_support.client import Client
from session_support.process import Run, session_process

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import AUDIT_PARTITIONS, TopicSpec
from parley_testing.eventually import eventually

ACTS = """
SELECT 'session.erased' AS action, session_id::text AS id FROM events
WHERE type = 'parley.session.session_erased.v1'
UNION ALL
SELECT 'api_key.created', stream_id::text FROM api_keys
"""
RECORDED = "SELECT action, data -> 'objects' -> 0 ->> 'id' AS id FROM audit_records"


def have(done: Sequence[str], count: int) -> bool:
    return len(done) >= count


async def act(client: Client, done: list[str]) -> None:
    """Erases sessions and creates API keys until the process is gone."""
    try:
        while True:
            started = await client.start()
            erased = await client.call("DELETE", f"/sessions/{started['id']}")
            created = await client.call("POST", "/api-keys", {"name": "mine"})
            done += [body["id"] for body in (erased.body, created.body) if "id" in body]
    except (aiohttp.ClientError, ConnectionError):
        pass


async def test_no_kill_leaves_an_act_without_its_record_or_a_record_without_its_act(
    runtime_database: str,
    store_database: str,
    pool: Pool,
    kafka_bootstrap: str,
    topic: str,
    run: Run,
) -> None:
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, AUDIT_PARTITIONS, 1, 1))
    settings: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "session_topic_audit": topic,
    }
    done: list[str] = []
    for _ in range(3):
        async with session_process(runtime_database, **settings) as served:
            before = len(done)
            acting = [asyncio.create_task(act(served, done)) for _ in range(5)]
            enough = before + random.randint(5, 40)
            await eventually(partial(have, done, enough), within=60)
            await served.kill()
            await asyncio.gather(*acting)
    acts = sorted(tuple(row) for row in await pool.fetch(ACTS))
    assert sorted(tuple(row) for row in await pool.fetch(RECORDED)) == acts
    assert {*done} <= {id for _, id in acts}

    async def is_published() -> bool:
        return not await pool.fetchval("SELECT EXISTS (SELECT FROM audit_outbox)")

    async with session_process(runtime_database, **settings):
        await eventually(is_published, within=60)
    ended = await run("verify-audit", store_database, **settings)
    assert ended.code == 0, ended.stdout
