"""Benchmark of tracing: turns through a stack that traces a share of them, and one that does not.

Both stacks run; rounds alternate between them, so that the machine's speed is that of both.
What tracing costs where it is off is the time of a span that is not recorded, measured alone.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import aiohttp

from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import (
    RunningStack,
    data_folder,
    fake_model,
    running_server,
    running_stack,
)
from benchmarks.table import Row, per_second, print_table
from parley_core.tracing.spans import span, trace_headers

STREAMS, WARM_UP_ROUNDS, ROUNDS = 50, 3, 20
SHARE = "0.1"
TARGET = 0.97
CALLS = 200_000
# More than the spans, headers and ids for which a turn asks in all processes.
CALLS_PER_TURN = 40


async def run() -> None:
    async with fake_model() as model, running_server("trace_sink") as sink:
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SHARE,
        }
        async with _chat(model) as plain, _chat(model, **tracing) as traced:
            for _ in range(WARM_UP_ROUNDS):
                await plain.round()
                await traced.round()
            pairs = [(await plain.round(), await traced.round()) for _ in range(ROUNDS)]
    rates = [median(each) for each in zip(*pairs, strict=True)]
    ratio = median(with_tracing / without for without, with_tracing in pairs)
    seconds = _seconds_of_a_call()
    turn_seconds = TOKENS / rates[0]
    print_table(
        f"Tracing ({STREAMS} streams of {TOKENS} tokens at once, {ROUNDS} rounds each in turn)",
        [
            Row(
                f"tokens, a share of {SHARE} traced",
                per_second(rates[1], "tokens"),
                per_second(rates[0], "tokens"),
                ratio,
                TARGET,
            ),
            Row(
                f"off: {CALLS_PER_TURN} calls for a span that is not recorded, per turn",
                f"{1e6 * CALLS_PER_TURN * seconds:.1f} µs",
                f"{1e6 * turn_seconds:,.0f} µs (a turn)",
                1 - CALLS_PER_TURN * seconds / turn_seconds,
                0.995,
            ),
        ],
    )


def _seconds_of_a_call() -> float:
    started_at = time.perf_counter()
    for _ in range(CALLS // 2):
        with span("part", "client", {"server.address": "127.0.0.1"}):
            trace_headers()
    return (time.perf_counter() - started_at) / CALLS


class _Chat:
    """People who each have a session, and all submit a message at once."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._sessions: list[str] = []

    async def start(self) -> None:
        for _ in range(STREAMS):
            async with self._http.post("/v1/sessions", json={}) as response:
                self._sessions.append((await response.json())["id"])

    async def round(self) -> float:
        """The tokens per second of one turn in each session."""
        started_at = time.perf_counter()
        await asyncio.gather(*map(self._turn, self._sessions))
        return STREAMS * TOKENS / (time.perf_counter() - started_at)

    async def _turn(self, session: str) -> None:
        body, tail = {"content": "Go on, please.", "stream": True}, b""
        async with self._http.post(f"/v1/sessions/{session}/messages", json=body) as response:
            assert response.status == 200, await response.text()
            async for data in response.content.iter_any():
                tail = (tail + data)[-16_384:]
        assert b'"reply.completed"' in tail


@asynccontextmanager
async def _chat(model: str, **settings: str) -> AsyncIterator[_Chat]:
    async with (
        data_folder() as data,
        running_stack(data, model, **settings) as stack,
        _client(stack) as http,
    ):
        chat = _Chat(http)
        await chat.start()
        yield chat


def _client(stack: RunningStack) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        stack.url,
        connector=aiohttp.TCPConnector(limit=0),
        headers={"authorization": f"Bearer {stack.token}"},
    )
