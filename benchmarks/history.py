"""Reading 20 messages of history through the gateway: kept pages, cold reads, an open load.

The floor is the barest application that answers the same bytes, on the same server.
"""

import asyncio
import resource
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.conversations import ANSWER, QUESTION
from benchmarks.open_load import open_load
from benchmarks.running_stack import RunningStack, a_folder, fake_model, running_stack, server
from benchmarks.table import Line, milliseconds, per_second, percentile, print_table
from benchmarks.wrk import Measured, require_wrk, wrk
from parley_cli.engines import free_port

CONNECTIONS, COLD_CONNECTIONS, SECONDS, ROUNDS = 1_000, 50, 8, 3
OPEN_RATE, OPEN_SECONDS = 200, 10
RATIO_AIM = 0.5
P50_AIM, P99_AIM, OPEN_P99_AIM = 0.050, 0.100, 0.020
MESSAGES = 20
# No page is that small: each read goes to history.
NOTHING_KEPT = {"PARLEY_GATEWAY_PAGE_CACHE_MAX_BYTES": "1"}


async def run() -> None:
    require_wrk()
    _allow_connections()
    async with a_folder() as data, fake_model() as model:
        async with running_stack(data, model, "--replicas", "gateway=2") as stack:
            path = await _a_history(stack)
            lines = await _kept(stack, path)
        async with running_stack(data, model, **NOTHING_KEPT) as stack:
            lines += await _cold(stack, path)
    print_table(f"GET /v1/history of {MESSAGES} messages, {CONNECTIONS} connections", lines)


async def _kept(stack: RunningStack, path: str) -> list[Line]:
    gateways = await _gateways(stack)
    pages = [await _page(gateway + path, stack.token) for gateway in gateways]
    alone: list[Measured] = []
    bare: list[Measured] = []
    async with _bare_page(pages[0]) as floor:
        for _ in range(ROUNDS):
            alone.append(await _loaded(gateways[:1], path, stack, CONNECTIONS))
            bare.append(await _loaded([floor], path, stack, CONNECTIONS))
    both = [await _loaded(gateways, path, stack, CONNECTIONS) for _ in range(ROUNDS)]
    opened = await _opened(gateways[0] + path, stack)
    # The round that was disturbed least: what else the machine does is no part of either.
    ours, theirs = (max(one.rate for one in rounds) for rounds in (alone, bare))
    together = min(both, key=lambda one: one.p99)
    errors = [error for one in (*alone, *both) for error in one.errors]
    return [
        Line(
            f"kept pages of {len(pages[0]) / 1000:.1f} kB, one gateway",
            per_second(ours, "reads"),
            per_second(theirs, "answers"),
            ours / theirs,
            RATIO_AIM,
        ),
        Line(
            "two gateways, half of the connections each",
            per_second(together.rate, "reads"),
        ),
        _aimed("the same, p50", together.p50, P50_AIM),
        _aimed("the same, p99", together.p99, P99_AIM),
        Line("errors", "; ".join(errors) or "none", aim="none", met=not errors),
        _aimed(f"kept pages at an open {OPEN_RATE} reads/s, p99", opened, OPEN_P99_AIM),
    ]


async def _cold(stack: RunningStack, path: str) -> list[Line]:
    [gateway] = await _gateways(stack)
    await _page(gateway + path, stack.token)
    loaded = await _loaded([gateway], path, stack, COLD_CONNECTIONS)
    opened = await _opened(gateway + path, stack)
    return [
        Line(
            f"nothing kept in the gateway, {COLD_CONNECTIONS} connections",
            per_second(loaded.rate, "reads"),
        ),
        Line("the same, p50", milliseconds(loaded.p50)),
        _aimed(f"nothing kept, at an open {OPEN_RATE} reads/s, p99", opened, OPEN_P99_AIM),
    ]


def _aimed(what: str, seconds: float, aim: float) -> Line:
    return Line(what, milliseconds(seconds), aim=f"< {1000 * aim:.0f} ms", met=seconds < aim)


async def _loaded(
    servers: Sequence[str], path: str, stack: RunningStack, connections: int
) -> Measured:
    """All servers at once; the rates together, and the worst of their latencies."""
    shares = await asyncio.gather(
        *(
            wrk(
                server + path,
                connections=connections // len(servers),
                seconds=SECONDS,
                token=stack.token,
            )
            for server in servers
        )
    )
    return Measured(
        sum(share.rate for share in shares),
        max(share.p50 for share in shares),
        max(share.p99 for share in shares),
        [error for share in shares for error in share.errors],
    )


async def _opened(url: str, stack: RunningStack) -> float:
    headers = {"authorization": f"Bearer {stack.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:

        async def ask() -> None:
            async with http.get(url) as answer:
                assert answer.status == 200
                await answer.read()

        taken = await open_load(ask, per_second=OPEN_RATE, seconds=OPEN_SECONDS)
    return percentile(taken, 99)


async def _a_history(stack: RunningStack) -> str:
    """The path of a session's history, once it is there."""
    headers = {"authorization": f"Bearer {stack.token}"}
    messages = [
        {"role": role, "content": content}
        for number in range(MESSAGES // 2)
        for role, content in (("user", f"{number}: {QUESTION[:75]}"), ("assistant", ANSWER[:80]))
    ]
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{stack.url}/v1/sessions", json={}) as answer:
            path = f"/v1/history/{(await answer.json())['id']}"
        async with http.post(stack.url + path, json={"messages": messages}) as answer:
            assert answer.status == 200, await answer.text()
    return path


async def _page(url: str, token: str) -> bytes:
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        # Kept only once the movement that made it has settled.
        for _ in range(20):
            async with http.get(url) as answer:
                page = await answer.read()
                assert answer.status == 200, page
            await asyncio.sleep(0.1)
    assert page.count(b'"object":"message"') == MESSAGES
    return page


async def _gateways(stack: RunningStack) -> list[str]:
    return [
        f"http://{process['address']}"
        for process in await stack.processes()
        if process["name"].startswith("gateway")
    ]


@asynccontextmanager
async def _bare_page(page: bytes) -> AsyncIterator[str]:
    port = free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(page)
        file.flush()
        async with server("benchmarks.bare_page", [str(port), file.name], port):
            yield f"http://127.0.0.1:{port}"


def _allow_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8_192), most))
