"""Benchmark of the whole stack: tokens per second, first token, time until history is updated."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import aiohttp

from benchmarks.servers.fake_model import TOKEN, TOKENS
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
    percentile,
    print_table,
    rate_row,
    time_row,
)

STREAMS, ROUNDS, TURNS, BUSY_SESSIONS = 50, 6, 200, 8
TOKENS_TARGET, ADDED_LATENCY_TARGET = 28_000, 0.010
VISIBLE_P50_TARGET, VISIBLE_P99_TARGET = 0.020, 0.100
_END = b'data: {"type":"reply.completed"'

Stream = Callable[[], Awaitable[float]]
"""Reads one whole stream; returns the seconds to its first token."""


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model() as model,
        running_stack(data, model) as stack,
        running_server("fake_model", f"{model}/chat/completions") as relay,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        await _measure(http, stack, f"{model}/chat/completions", relay)


async def _measure(
    http: aiohttp.ClientSession, stack: RunningStack, model: str, relay: str
) -> None:
    client = _Client(http, stack)

    def direct() -> Awaitable[float]:
        return _bare_stream(http, model)

    def relayed() -> Awaitable[float]:
        return _bare_stream(http, relay)

    sessions = [await client.new_session() for _ in range(STREAMS)]
    rates: dict[str, list[float]] = {"parley": [], "model": [], "relay": []}
    for _ in range(ROUNDS):
        rates["parley"].append(await _rate([partial(client.turn, each) for each in sessions]))
        rates["model"].append(await _rate([direct] * STREAMS))
        rates["relay"].append(await _rate([relayed] * STREAMS))
    rate, model_rate, relay_rate = (max(rates[name]) for name in ("parley", "model", "relay"))

    session = await client.new_session()
    first_tokens, baselines, visible = [], [], []
    for _ in range(TURNS):
        first_tokens.append(await client.turn(session))
        visible.append(await client.until_visible(session))
        baselines.append(await direct())
    busy = await _visible_under_load(
        client, _Client(http, stack), session, sessions[:BUSY_SESSIONS]
    )
    added = percentile(first_tokens, 50) - percentile(baselines, 50)
    visible_p50, visible_p99 = percentile(visible, 50), percentile(visible, 99)
    print_table(
        f"The whole stack ({STREAMS} streams of {TOKENS} tokens at once; then one at a time)",
        [
            rate_row(
                "tokens, compared with the fake server alone",
                "tokens",
                rate,
                model_rate,
                min_rate=TOKENS_TARGET,
            ),
            rate_row("tokens, compared with one bare relay", "tokens", rate, relay_rate),
            Row(
                "time to first token, one stream, p50",
                milliseconds(percentile(first_tokens, 50)),
                milliseconds(percentile(baselines, 50)),
            ),
            limit_row("latency added to it, message committed", added, ADDED_LATENCY_TARGET),
            limit_row(
                "reply.completed to visible in history, p50", visible_p50, VISIBLE_P50_TARGET
            ),
            limit_row("the same, p99", visible_p99, VISIBLE_P99_TARGET),
            time_row(
                f"the same while {BUSY_SESSIONS} other sessions chat without pause, p50",
                percentile(busy, 50),
                visible_p50,
            ),
            time_row("the same, p99", percentile(busy, 99), visible_p99),
        ],
    )


async def _visible_under_load(
    client: "_Client", others: "_Client", session: str, busy: Sequence[str]
) -> list[float]:
    finished = asyncio.Event()

    async def chat(session: str) -> None:
        while not finished.is_set():
            await others.turn(session)

    visible = []
    async with asyncio.TaskGroup() as chats:
        for each in busy:
            chats.create_task(chat(each))
        for _ in range(TURNS):
            await client.turn(session)
            visible.append(await client.until_visible(session))
        finished.set()
    return visible


async def _rate(streams: list[Stream]) -> float:
    started_at = time.perf_counter()
    await asyncio.gather(*(stream() for stream in streams))
    return len(streams) * TOKENS / (time.perf_counter() - started_at)


async def _bare_stream(http: aiohttp.ClientSession, url: str) -> float:
    started_at = time.perf_counter()
    first = 0.0
    received = 0
    async with http.post(url, data=b"{}") as response:
        async for data in response.content.iter_any():
            received += data.count(TOKEN.encode())
            first = first or (time.perf_counter() - started_at if received else 0.0)
    assert received == TOKENS
    return first


class _Client:
    def __init__(self, http: aiohttp.ClientSession, stack: RunningStack) -> None:
        self._http, self._url = http, stack.url + "/v1"
        self._headers = {"authorization": f"Bearer {stack.token}"}
        self._version = 0
        self._ended = 0.0

    async def new_session(self) -> str:
        async with self._http.post(
            f"{self._url}/sessions", json={}, headers=self._headers
        ) as response:
            return str((await response.json())["id"])

    async def turn(self, session: str) -> float:
        """Submit a message and read its whole stream; return the seconds to the first token."""
        started_at = time.perf_counter()
        first, tokens, tail = 0.0, 0, b""
        async with self._http.post(
            f"{self._url}/sessions/{session}/messages",
            json={"content": "Go on, please.", "stream": True},
            headers=self._headers,
        ) as response:
            assert response.status == 200, await response.text()
            async for data in response.content.iter_any():
                first = first or (
                    time.perf_counter() - started_at if b"reply.delta" in data else 0.0
                )
                tail = tail + data if _END in tail else (tail + data)[-65_536:]
        self._ended = time.perf_counter()
        data, _, _ = tail.rpartition(_END)[2].partition(b"\n")
        ended = json.loads(_END.removeprefix(b"data: ") + data)
        tokens = ended["message"]["content"].count(TOKEN)
        assert ended["type"] == "reply.completed", ended
        assert tokens == TOKENS
        self._version = ended["version"]
        return first

    async def until_visible(self, session: str) -> float:
        """Seconds from the last event of the last turn until history shows its reply."""
        async with self._http.get(
            f"{self._url}/history/{session}",
            params={"min_version": self._version, "limit": 1},
            headers=self._headers,
        ) as response:
            page = await response.json()
            assert page["data"][0]["version"] == self._version, page
        return time.perf_counter() - self._ended
