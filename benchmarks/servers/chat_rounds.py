"""Rounds of turns on a stack: people all submit a message at once, and read the replies."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.servers.fake_model import TOKENS
from benchmarks.servers.running_stack import (
    RunningStack,
    data_folder,
    running_stack,
    token_of,
)
from parley_cli.stack.up.addresses import CALLED_SERVICES

STREAMS = 50


class ChatRounds:
    """People who each have a session, and all submit a message at once."""

    def __init__(self, stack: RunningStack, http: aiohttp.ClientSession) -> None:
        self._stack, self._http = stack, http
        self._sessions: list[str] = []
        self._headers = [
            {"authorization": f"Bearer {token_of(stack, f'person-{number}')}"}
            for number in range(STREAMS)
        ]

    async def start(self) -> None:
        for headers in self._headers:
            async with self._http.post("/v1/sessions", json={}, headers=headers) as response:
                self._sessions.append((await response.json())["id"])

    async def round(self) -> float:
        """The tokens per second of one turn in each session."""
        started_at = time.perf_counter()
        await asyncio.gather(*map(self._turn, self._sessions, self._headers))
        return STREAMS * TOKENS / (time.perf_counter() - started_at)

    async def first_token(self) -> float:
        """The seconds from a message to the first token of its reply, in the first session."""
        path = f"/v1/sessions/{self._sessions[0]}/messages"
        body = {"content": "Go on, please.", "stream": True}
        started_at, seconds, received = time.perf_counter(), 0.0, b""
        async with self._http.post(path, json=body, headers=self._headers[0]) as response:
            assert response.status == 200, await response.text()
            async for data in response.content.iter_any():
                if not seconds:
                    received += data
                    if b"reply.delta" in received:
                        seconds = time.perf_counter() - started_at
        return seconds

    async def read(self) -> float:
        """The seconds of a read of the first session's history."""
        started_at = time.perf_counter()
        path = f"/v1/history/{self._sessions[0]}"
        async with self._http.get(path, headers=self._headers[0]) as response:
            assert response.status == 200, await response.text()
            await response.read()
        return time.perf_counter() - started_at

    def processor_seconds(self) -> float:
        """Those that gateway, session, inference and history-serve have used until now."""
        return self._stack.processor_seconds(*CALLED_SERVICES)

    async def _turn(self, session: str, headers: Mapping[str, str]) -> None:
        path, tail = f"/v1/sessions/{session}/messages", b""
        body = {"content": "Go on, please.", "stream": True}
        async with self._http.post(path, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            async for data in response.content.iter_any():
                tail = (tail + data)[-16_384:]
        assert b'"reply.completed"' in tail


@asynccontextmanager
async def chat_rounds(model: str, *arguments: str, **settings: str) -> AsyncIterator[ChatRounds]:
    """Those on a new stack, started with the arguments of `parley up` and these variables."""
    async with (
        data_folder() as data,
        running_stack(data, model, *arguments, **settings) as stack,
        _client(stack) as http,
    ):
        chat = ChatRounds(stack, http)
        await chat.start()
        yield chat


def _client(stack: RunningStack) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        stack.url,
        connector=aiohttp.TCPConnector(limit=0, ssl=stack.trust),
    )
