"""Benchmark of read-your-writes (ADR 24): stale reads after a turn, and what the check costs.

The baseline of the cost is the same page cache that knows the version without asking Redis.
"""

import asyncio
import tempfile
from statistics import median
from uuid import UUID, uuid4

import aiohttp

from benchmarks.load.wrk import LoadResult, require_wrk, wrk
from benchmarks.servers.running_stack import (
    RunningStack,
    data_folder,
    fake_model,
    running_server,
    running_stack,
)
from benchmarks.table import Row, milliseconds, percentile, print_table, rate_row
from parley_cli.engines import redis_url
from parley_cli.stack.secret_store import REDIS_PASSWORD
from parley_core.storage.redis_circuit_breaker import RedisWithCircuitBreaker
from parley_core.storage.version_cache import CommittedVersion, VersionCache

REPLICAS = "gateway=2,history-serve=2"
TURNS, READS_PER_TURN = 250, 4
PAGE_BYTES, VERSION = 7_600, 21
CONNECTIONS, SECONDS, ROUNDS = 1_000, 5, 5


async def run() -> None:
    require_wrk()
    async with (
        data_folder() as data,
        fake_model() as model,
        running_stack(data, model, "--replicas", REPLICAS) as stack,
    ):
        rows = await _stale_reads(stack) + await _cost(stack)
    print_table(f"Read-your-writes with {REPLICAS}", rows)


async def _stale_reads(stack: RunningStack) -> list[Row]:
    """Read the page four times right after each turn, through gateways that the kernel chooses."""
    stale, seconds = 0, []
    headers = {"authorization": f"Bearer {stack.token}"}
    connector = aiohttp.TCPConnector(force_close=True)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(stack.url, connector=connector, headers=headers) as http:

        async def post(path: str, body: dict[str, object]) -> dict[str, object]:
            async with http.post(path, json=body) as response:
                assert response.status in (200, 201), await response.text()
                return dict(await response.json())

        async def read(session: object, reply: object) -> None:
            nonlocal stale
            started_at = loop.time()
            async with http.get(f"/v1/history/{session}") as response:
                page = await response.json()
                assert response.status == 200, page
            seconds.append(loop.time() - started_at)
            stale += page["data"][0]["id"] != reply

        session = (await post("/v1/sessions", {}))["id"]
        for _ in range(TURNS):
            turn = await post(f"/v1/sessions/{session}/messages", {"content": "Hello?"})
            reply = turn["reply"]
            assert isinstance(reply, dict)
            await asyncio.gather(*(read(session, reply["id"]) for _ in range(READS_PER_TURN)))
    return [
        Row(f"stale of {len(seconds):,} reads", str(stale), target="0", met=stale == 0),
        Row("such a read, p50", milliseconds(percentile(seconds, 50))),
        Row("such a read, p99", milliseconds(percentile(seconds, 99))),
    ]


async def _cost(stack: RunningStack) -> list[Row]:
    [redis] = [each["address"] for each in await stack.processes() if each["name"] == "redis"]
    password, session_id = (stack.data / "secrets" / REDIS_PASSWORD).read_text(), uuid4()
    url = redis_url(redis, password)
    await _publish(url, session_id)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * PAGE_BYTES)
        file.flush()
        arguments = ("cached_page", file.name, str(session_id))
        async with running_server(*arguments) as known, running_server(*arguments, url) as up:
            checked: list[LoadResult] = []
            unchecked: list[LoadResult] = []
            for _ in range(ROUNDS):
                checked.append(await _load(up, session_id))
                unchecked.append(await _load(known, session_id))
    errors = [error for each in (*checked, *unchecked) for error in each.errors]
    rate, baseline = (median(each.rate for each in rounds) for rounds in (checked, unchecked))
    return [
        rate_row("cached pages, each version looked up in Redis", "reads", rate, baseline),
        Row("errors", "; ".join(errors) or "none", target="none", met=not errors),
    ]


async def _publish(redis_url: str, session_id: UUID) -> None:
    redis = RedisWithCircuitBreaker(redis_url, timeout_seconds=1, open_seconds=1, max_connections=1)
    versions = VersionCache(redis)
    assert await versions.publish([CommittedVersion(session_id, VERSION, gone=False)])
    await versions.aclose()


async def _load(server: str, session_id: UUID) -> LoadResult:
    url = f"{server}/v1/history/{session_id}"
    return await wrk(url, connections=CONNECTIONS, seconds=SECONDS, token="benchmark")
