"""Benchmark of the event loops: how long each service does not answer while it handles a request.

Each request is the most demanding of its kind that the limits of size allow, and is repeated.
Meanwhile each process is probed every 2 ms; the longest answer is that of its longest block, and
the scheduling of this machine. The baseline is the longest answer of an idle stack.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import aiohttp

from benchmarks.load.probe import Prober, prober
from benchmarks.servers.running_stack import RunningStack, data_folder, fake_model, running_stack
from benchmarks.table import Row, print_table

REPEATS, LIMIT_SECONDS = 5, 0.050
SERVICES = ("gateway", "session", "inference", "history-serve")
MESSAGE_BYTES, JSON_VALUES = 256 * 1024, 15_000
IMPORTED, IMPORTS = 1_000, 10
JSON_HEADERS = {"content-type": "application/json"}

Request = Callable[[], Awaitable[None]]


class Requests:
    """The requests of one person, in a session of 10,000 messages and in new ones."""

    def __init__(self, http: aiohttp.ClientSession, model: str) -> None:
        self._http, self._model = http, model
        self._long_session = ""

    async def prepare(self) -> None:
        self._long_session = await self._started()
        for _ in range(IMPORTS):
            await self._import(self._long_session, _records("An ordinary message. " * 15))

    async def idle(self) -> None:
        await asyncio.sleep(1)

    async def unknown_keys(self) -> None:
        body = "{" + ",".join(f'"k{number}":0' for number in range(JSON_VALUES - 1)) + "}"
        await self._send("POST", f"/v1/sessions/{self._long_session}/messages", body, refused=True)

    async def empty_records(self) -> None:
        body = '{"messages":[' + ",".join(["{}"] * (JSON_VALUES // 2 - 1)) + "]}"
        await self._send("POST", f"/v1/history/{self._long_session}", body, refused=True)

    async def many_short_messages(self) -> None:
        await self._import(await self._started(), _records("Short."))

    async def long_messages(self) -> None:
        # 15 of them fit into 4 MiB.
        records = _records(_random_text(MESSAGE_BYTES))[:15]
        session = await self._started()
        await self._import(session, records)
        await self._send("GET", f"/v1/history/{session}?limit=100")
        await self._send("GET", f"/v1/sessions/{session}/export?format=markdown")

    async def turn_of_the_longest_message(self) -> None:
        await self._message(await self._started(), _random_text(MESSAGE_BYTES))

    async def turn_of_a_long_session(self) -> None:
        await self._message(self._long_session, "And then?")

    async def page_of_a_long_session(self) -> None:
        path = f"/v1/history/{self._long_session}"
        for query in ("limit=100", "limit=100&order=asc", "limit=100&branches=all"):
            await self._send("GET", f"{path}?{query}")

    async def export_of_a_long_session(self) -> None:
        await self._send("GET", f"/v1/sessions/{self._long_session}/export?format=json")

    async def fork_of_a_long_session(self) -> None:
        # Refused if the session is too large for it: after a look at all of it.
        page = await self._send("GET", f"/v1/history/{self._long_session}?limit=1&order=desc")
        message = json.loads(page)["data"][0]["id"]
        body = json.dumps({"message_id": message})
        await self._send("POST", f"/v1/sessions/{self._long_session}/fork", body, refused=None)

    async def completion_of_many_messages(self) -> None:
        messages = [{"role": "user", "content": "a" * 1_900}] * 2_048
        await self._complete(messages)

    async def completion_of_one_long_message(self) -> None:
        await self._complete([{"role": "user", "content": _random_text(4_000_000)}])

    async def search(self) -> None:
        query = " ".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=250))
        await self._send("POST", "/v1/search", json.dumps({"query": query, "limit": 100}))

    async def _complete(self, messages: list[dict[str, str]]) -> None:
        chat = {"model": self._model, "messages": messages, "stream": True}
        body = json.dumps(chat, ensure_ascii=False)
        await self._send("POST", "/v1/chat/completions", body)

    async def _started(self) -> str:
        return str(json.loads(await self._send("POST", "/v1/sessions", "{}"))["id"])

    async def _import(self, session: str, records: list[dict[str, str]]) -> None:
        body = json.dumps({"messages": records}, ensure_ascii=False)
        await self._send("POST", f"/v1/history/{session}", body)

    async def _message(self, session: str, content: str) -> None:
        body = json.dumps({"content": content}, ensure_ascii=False)
        await self._send("POST", f"/v1/sessions/{session}/messages", body)

    async def _send(
        self, method: str, path: str, body: str | None = None, *, refused: bool | None = False
    ) -> bytes:
        """The response; `refused` is None where it may be either."""
        data = body.encode() if body is not None else None
        async with self._http.request(method, path, data=data, headers=JSON_HEADERS) as response:
            content = await response.read()
            if refused is not None and (response.status >= 400) != refused:
                raise SystemExit(f"{method} {path}: {response.status} {content[:300]!r}")
            return content


async def run() -> None:
    async with (
        data_folder() as data,
        fake_model() as model,
        running_stack(data, model, "--replicas", "gateway=1") as stack,
    ):
        rows = await _measure(stack)
    print_table(f"Longest answer to a probe, of {REPEATS} requests each", rows)


async def _measure(stack: RunningStack) -> list[Row]:
    addresses = {each["address"]: each["name"] for each in await stack.processes()}
    probed = [address for address, name in addresses.items() if name in SERVICES]
    headers = {"authorization": f"Bearer {stack.token}"}
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(stack.url, headers=headers, timeout=timeout) as http,
        prober(probed) as probes,
    ):
        requests = Requests(http, "fake")
        await requests.prepare()
        rows = []
        for request in (
            requests.idle,
            requests.unknown_keys,
            requests.empty_records,
            requests.many_short_messages,
            requests.long_messages,
            requests.turn_of_the_longest_message,
            requests.turn_of_a_long_session,
            requests.page_of_a_long_session,
            requests.export_of_a_long_session,
            requests.fork_of_a_long_session,
            requests.completion_of_many_messages,
            requests.completion_of_one_long_message,
            requests.search,
        ):
            waits = await _longest_waits(probes, request)
            rows.append(_row(request.__name__, {addresses[each]: waits[each] for each in waits}))
    return rows


async def _longest_waits(probes: Prober, request: Request) -> Mapping[str, float]:
    await asyncio.sleep(0.5)
    await probes.longest_waits()
    for _ in range(REPEATS):
        await request()
    return await probes.longest_waits()


def _row(name: str, waits: Mapping[str, float]) -> Row:
    measured = ", ".join(f"{name} {1000 * waits[name]:.0f}" for name in SERVICES)
    return Row(
        name.replace("_", " "),
        f"{measured} ms",
        target=f"< {1000 * LIMIT_SECONDS:.0f} ms",
        met=max(waits.values()) < LIMIT_SECONDS,
    )


def _records(text: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": f"{number} {text}"[:MESSAGE_BYTES]}
        for number in range(IMPORTED)
    ]


def _random_text(size: int) -> str:
    """Random Chinese of so many bytes: the most work for a tokenizer and for an index of words."""
    return "".join(map(chr, Random(1).choices(range(0x4E00, 0x9FA5), k=size // 3 - 4)))
