"""Client of the public API for streams from a paced model server."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.servers.fake_model import TOKEN
from benchmarks.servers.running_stack import RunningStack

_TOKEN = TOKEN.encode()


class PacedClient:
    def __init__(self, http: aiohttp.ClientSession, stack: RunningStack) -> None:
        self._http, self._url = http, stack.url + "/v1"
        self._headers = {"authorization": f"Bearer {stack.token}"}

    async def new_session(self) -> str:
        # With a title, so that none is requested from the model server.
        async with self._http.post(
            f"{self._url}/sessions", json={"title": "Paced"}, headers=self._headers
        ) as response:
            return str((await response.json())["id"])

    @asynccontextmanager
    async def stream(self, session: str, tokens: int) -> AsyncIterator[aiohttp.StreamReader]:
        """The response stream of a message whose reply has the given number of tokens."""
        async with self._http.post(
            f"{self._url}/sessions/{session}/messages",
            json={"content": f"Go on. [tokens {tokens}]", "stream": True},
            headers=self._headers,
        ) as response:
            assert response.status == 200, await response.text()
            yield response.content

    async def first_token(self) -> float:
        """Seconds from a message to the first token of its reply, which has only one."""
        session = await self.new_session()
        started_at = time.perf_counter()
        async with self.stream(session, 1) as content:
            await wait_for_token(content)
            return time.perf_counter() - started_at


async def wait_for_token(content: aiohttp.StreamReader) -> None:
    while _TOKEN not in (received := await content.readany()):
        assert received, "the stream ended before its first token"


async def token_times(content: aiohttp.StreamReader) -> list[float]:
    """The arrival time of each token of a stream, until its last event."""
    times: list[float] = []
    while received := await content.readany():
        now = time.perf_counter()
        deltas, is_last, _ = received.partition(b'data: {"type":"reply.completed"')
        times += [now] * deltas.count(_TOKEN)
        if is_last:
            break
    return times
