"""A person who chats and reads through one gateway, or several."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle

import aiohttp

from benchmarks.servers.running_stack import RunningStack


class Person:
    """Sends to one gateway after the other."""

    def __init__(self, gateways: Sequence[aiohttp.ClientSession]) -> None:
        self._gateways = cycle(gateways)
        self._session = ""
        self.answers: Counter[int] = Counter()

    async def start(self) -> None:
        async with next(self._gateways).post("/v1/sessions", json={}) as response:
            self._session = str((await response.json())["id"])
        await self.turn()

    async def turn(self) -> None:
        """A turn of one token, in a new session."""
        async with self._submitted() as response:
            await response.read()

    async def first_token(self) -> None:
        """As much of such a turn."""
        async with self._submitted() as response:
            async for line in response.content:
                if b"reply.delta" in line:
                    return

    async def read(self) -> None:
        await self._get(f"/v1/history/{self._session}")

    async def list(self) -> None:
        await self._get("/v1/sessions")

    @asynccontextmanager
    async def _submitted(self) -> AsyncIterator[aiohttp.ClientResponse]:
        gateway = next(self._gateways)
        async with gateway.post("/v1/sessions", json={}) as response:
            session = (await response.json())["id"]
        body = {"content": "[tokens 1]", "stream": True}
        async with gateway.post(f"/v1/sessions/{session}/messages", json=body) as response:
            assert response.status == 200, await response.text()
            yield response

    async def _get(self, path: str) -> None:
        async with next(self._gateways).get(path) as response:
            self.answers[response.status] += 1
            await response.read()


@asynccontextmanager
async def person_on(stack: RunningStack) -> AsyncIterator[Person]:
    """That whose token the stack has."""
    headers = {"authorization": f"Bearer {stack.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(stack.url, connector=connector, headers=headers) as http:
        yield Person([http])
