"""Benchmark of history reads through a stack as `make run` starts it.

The baseline is a bare ASGI application that serves the same bytes on the same HTTP server. The
same reads are measured with a header because of which each of them is parsed (ADR 30).
"""

import asyncio
import resource
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median

import aiohttp

from benchmarks.load.open_load import open_load
from benchmarks.load.sample_conversations import ANSWER, QUESTION
from benchmarks.load.wrk import LoadResult, require_wrk, wrk
from benchmarks.servers.running_stack import (
    RunningStack,
    data_folder,
    fake_model,
    running_server,
    running_stack,
)
from benchmarks.table import (
    Row,
    limit_row,
    milliseconds,
    per_second,
    percentile,
    print_table,
    rate_row,
)

CONNECTIONS, UNCACHED_CONNECTIONS, SECONDS, ROUNDS = 1_000, 50, 5, 5
OPEN_RATE, OPEN_SECONDS = 200, 10
RATIO_TARGET = 1.0
P50_TARGET, P99_TARGET, OPEN_P99_TARGET = 0.050, 0.100, 0.020
MESSAGES = 20
PARSED = "origin: https://chat.example"
# Smaller than any page, so that every read goes to the history service.
NO_PAGE_CACHE = {"PARLEY_GATEWAY_PAGE_CACHE_MAX_BYTES": "1"}


async def run() -> None:
    require_wrk()
    _raise_file_limit()
    async with data_folder() as data, fake_model() as model:
        async with running_stack(data, model) as stack:
            path = await _import_history(stack)
            rows = await _cached(stack, path)
        async with running_stack(data, model, **NO_PAGE_CACHE) as stack:
            rows += await _uncached(stack, path)
    print_table(f"GET /v1/history of {MESSAGES} messages, {CONNECTIONS} connections", rows)


async def _cached(stack: RunningStack, path: str) -> list[Row]:
    """Rounds of the three loads alternate, so that other load on the machine affects all."""
    url = stack.url + path
    page = await _page(url, stack.token)
    early: list[LoadResult] = []
    parsed: list[LoadResult] = []
    bare: list[LoadResult] = []
    async with _bare_page(page) as baseline:
        for _ in range(ROUNDS):
            early.append(await _load(url, stack, CONNECTIONS))
            parsed.append(await _load(url, stack, CONNECTIONS, PARSED))
            bare.append(await _load(baseline + path, stack, CONNECTIONS))
    opened = await _open_load_p99(url, stack)
    early_rate, parsed_rate, bare_rate = (
        median(each.rate for each in rounds) for rounds in (early, parsed, bare)
    )
    errors = [error for each in (*early, *parsed) for error in each.errors]
    label = f"cached pages of {len(page) / 1000:.1f} kB"
    return [
        rate_row(label, "reads", early_rate, bare_rate, min_ratio=RATIO_TARGET),
        limit_row("the same, p50", median(each.p50 for each in early), P50_TARGET),
        limit_row("the same, p99", median(each.p99 for each in early), P99_TARGET),
        Row("the same, p99 of each round", _all_p99(early)),
        Row("baseline, p50", milliseconds(median(each.p50 for each in bare))),
        rate_row("the same reads, each of them parsed", "reads", parsed_rate, bare_rate),
        Row("errors", "; ".join(errors) or "none", target="none", met=not errors),
        limit_row(f"cached pages at an open {OPEN_RATE} reads/s, p99", opened, OPEN_P99_TARGET),
    ]


def _all_p99(rounds: Sequence[LoadResult]) -> str:
    return ", ".join(f"{1000 * each.p99:.0f}" for each in rounds) + " ms"


async def _uncached(stack: RunningStack, path: str) -> list[Row]:
    url = stack.url + path
    await _page(url, stack.token)
    loaded = await _load(url, stack, UNCACHED_CONNECTIONS)
    opened = await _open_load_p99(url, stack)
    return [
        Row(
            f"no page cache, {UNCACHED_CONNECTIONS} connections",
            per_second(loaded.rate, "reads"),
        ),
        Row("the same, p50", milliseconds(loaded.p50)),
        limit_row(f"no page cache, at an open {OPEN_RATE} reads/s, p99", opened, OPEN_P99_TARGET),
    ]


async def _load(url: str, stack: RunningStack, connections: int, *headers: str) -> LoadResult:
    return await wrk(url, *headers, connections=connections, seconds=SECONDS, token=stack.token)


async def _open_load_p99(url: str, stack: RunningStack) -> float:
    headers = {"authorization": f"Bearer {stack.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:

        async def read() -> None:
            async with http.get(url) as response:
                assert response.status == 200
                await response.read()

        latencies = await open_load(read, per_second=OPEN_RATE, seconds=OPEN_SECONDS)
    return percentile(latencies, 99)


async def _import_history(stack: RunningStack) -> str:
    """Import a conversation; return the path of its history."""
    headers = {"authorization": f"Bearer {stack.token}"}
    messages = [
        {"role": role, "content": content}
        for number in range(MESSAGES // 2)
        for role, content in (("user", f"{number}: {QUESTION[:75]}"), ("assistant", ANSWER[:80]))
    ]
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{stack.url}/v1/sessions", json={}) as response:
            path = f"/v1/history/{(await response.json())['id']}"
        async with http.post(stack.url + path, json={"messages": messages}) as response:
            assert response.status == 200, await response.text()
    return path


async def _page(url: str, token: str) -> bytes:
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        # A page is cached only after the invalidation by its own import has passed.
        for _ in range(20):
            async with http.get(url) as response:
                page = await response.read()
                assert response.status == 200, page
            await asyncio.sleep(0.1)
    assert page.count(b'"object":"message"') == MESSAGES
    return page


@asynccontextmanager
async def _bare_page(page: bytes) -> AsyncIterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(page)
        file.flush()
        async with running_server("bare_page", file.name) as url:
            yield url


def _raise_file_limit() -> None:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard_limit, 8_192), hard_limit))
