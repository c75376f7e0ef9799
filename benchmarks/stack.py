"""The whole stack through its public API: tokens relayed, time to first token, time to history."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from benchmarks.fake_model import TOKEN, TOKENS
from benchmarks.running_stack import RunningStack, a_folder, bare_relay, fake_model, running_stack
from benchmarks.table import Line, milliseconds, per_second, percentile, print_table

STREAMS, ROUNDS, TURNS, BUSY = 50, 6, 200, 8
TOKENS_AIM, ADDED_AIM = 28_000, 0.010
VISIBLE_P50_AIM, VISIBLE_P99_AIM = 0.020, 0.100

Stream = Callable[[], Awaitable[float]]
"""Reads one whole stream; answers the seconds to its first token."""


async def run() -> None:
    async with (
        a_folder() as data,
        fake_model() as model,
        running_stack(data, model) as stack,
        bare_relay(f"{model}/chat/completions") as relay,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        await _measure(http, stack, f"{model}/chat/completions", relay)


async def _measure(
    http: aiohttp.ClientSession, stack: RunningStack, model: str, relay: str
) -> None:
    client = _Client(http, stack)

    def straight() -> Awaitable[float]:
        return _bare_stream(http, model)

    def relayed() -> Awaitable[float]:
        return _bare_stream(http, relay)

    sessions = [await client.new_session() for _ in range(STREAMS)]
    rates: dict[str, list[float]] = {"ours": [], "model": [], "relay": []}
    for _ in range(ROUNDS):
        rates["ours"].append(await _rate([lambda s=s: client.turn(s) for s in sessions]))
        rates["model"].append(await _rate([straight] * STREAMS))
        rates["relay"].append(await _rate([relayed] * STREAMS))
    ours, first, bare = (max(rates[name]) for name in ("ours", "model", "relay"))

    session = await client.new_session()
    firsts, floors, visible = [], [], []
    for _ in range(TURNS):
        firsts.append(await client.turn(session))
        visible.append(await client.until_visible(session))
        floors.append(await straight())
    busy = await _visible_under_load(client, _Client(http, stack), session, sessions[:BUSY])
    added = percentile(firsts, 50) - percentile(floors, 50)
    seen, seen_late = percentile(visible, 50), percentile(visible, 99)
    print_table(
        f"The whole stack ({STREAMS} streams of {TOKENS} tokens at once; later one at a time)",
        [
            Line(
                "tokens, beside the fake server alone",
                per_second(ours, "tokens"),
                per_second(first, "tokens"),
                ours / first,
                f">= {TOKENS_AIM:,}/s",
                ours >= TOKENS_AIM,
            ),
            Line(
                "tokens, beside one bare relay",
                per_second(ours, "tokens"),
                per_second(bare, "tokens"),
                ours / bare,
            ),
            Line(
                "time to first token, one stream, p50",
                milliseconds(percentile(firsts, 50)),
                milliseconds(percentile(floors, 50)),
            ),
            Line(
                "added to it, the message committed",
                milliseconds(added),
                aim=f"<= {1000 * ADDED_AIM:.0f} ms",
                met=added <= ADDED_AIM,
            ),
            Line(
                "reply.completed to visible in history, p50",
                milliseconds(seen),
                aim=f"< {1000 * VISIBLE_P50_AIM:.0f} ms",
                met=seen < VISIBLE_P50_AIM,
            ),
            Line(
                "the same, p99",
                milliseconds(seen_late),
                aim=f"< {1000 * VISIBLE_P99_AIM:.0f} ms",
                met=seen_late < VISIBLE_P99_AIM,
            ),
            Line(
                f"the same while {BUSY} others talk without a pause, p50",
                milliseconds(percentile(busy, 50)),
                milliseconds(seen),
                seen / percentile(busy, 50),
            ),
            Line(
                "the same, p99",
                milliseconds(percentile(busy, 99)),
                milliseconds(seen_late),
                seen_late / percentile(busy, 99),
            ),
        ],
    )


async def _visible_under_load(
    client: "_Client", others: "_Client", session: str, busy: Sequence[str]
) -> list[float]:
    enough = asyncio.Event()

    async def talk(session: str) -> None:
        while not enough.is_set():
            await others.turn(session)

    visible = []
    async with asyncio.TaskGroup() as talking:
        for each in busy:
            talking.create_task(talk(each))
        for _ in range(TURNS):
            await client.turn(session)
            visible.append(await client.until_visible(session))
        enough.set()
    return visible


async def _rate(streams: list[Stream]) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(stream() for stream in streams))
    return len(streams) * TOKENS / (time.perf_counter() - began)


async def _bare_stream(http: aiohttp.ClientSession, url: str) -> float:
    began = time.perf_counter()
    first = 0.0
    received = 0
    async with http.post(url, data=b"{}") as response:
        async for data in response.content.iter_any():
            received += data.count(TOKEN.encode())
            first = first or (time.perf_counter() - began if received else 0.0)
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
        ) as answer:
            return str((await answer.json())["id"])

    async def turn(self, session: str) -> float:
        """Submit a message and read its whole stream; answers the seconds to the first token."""
        began = time.perf_counter()
        first, tokens, tail = 0.0, 0, b""
        async with self._http.post(
            f"{self._url}/sessions/{session}/messages",
            json={"content": "Go on, please.", "stream": True},
            headers=self._headers,
        ) as response:
            assert response.status == 200, await response.text()
            async for data in response.content.iter_any():
                first = first or (time.perf_counter() - began if b"reply.delta" in data else 0.0)
                tail = tail + data if b"id: end" in tail else (tail + data)[-65_536:]
        self._ended = time.perf_counter()
        ended = json.loads(tail.rpartition(b"id: end\ndata: ")[2])
        tokens = ended["message"]["content"].count(TOKEN)
        assert ended["type"] == "reply.completed", ended
        assert tokens == TOKENS
        self._version = ended["version"]
        return first

    async def until_visible(self, session: str) -> float:
        """Seconds from the last turn's last event until history shows its reply."""
        async with self._http.get(
            f"{self._url}/history/{session}",
            params={"min_version": self._version, "limit": 1},
            headers=self._headers,
        ) as answer:
            page = await answer.json()
            assert page["data"][0]["version"] == self._version, page
        return time.perf_counter() - self._ended
