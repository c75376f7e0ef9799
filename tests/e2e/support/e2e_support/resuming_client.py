"""A client that reads its reply to the end by resuming after every broken connection."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from e2e_support.user import RETRYABLE_STATUSES, User
from parley_testing.event_stream import Event

Meanwhile = Callable[[str], Coroutine[Any, Any, None]]

RETRY_SECONDS = 60
# A connection without a byte for 20 s is considered dead; heartbeats come every 15 s.
_TIMEOUT = httpx2.Timeout(10, read=20)


@dataclass
class ReceivedTurn:
    """`text` is the concatenated deltas, truncated to the length given by the last event."""

    session_id: str
    started: Event
    text: str
    end: Event
    breaks: int


class _Broken(Exception):
    """The response ended before the turn, or had a retryable status."""


class ResumingClient:
    """One user with several clients (one per gateway), of which each attempt uses a random one."""

    def __init__(self, clients: Sequence[User], chance: random.Random) -> None:
        self._clients, self._random = clients, chance

    async def start_session(self) -> str:
        session_id = str(uuid4())
        while True:
            try:
                answer = await self._client().request("POST", "/sessions", json={"id": session_id})
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code in (201, 409):  # 409: the response to an earlier try was lost.
                return session_id
            assert answer.status_code in RETRYABLE_STATUSES, answer.text

    async def turn(
        self, session_id: str, content: str, meanwhile: Meanwhile | None = None
    ) -> ReceivedTurn:
        """Submit a message with one key, and resume its stream until the turn has ended.

        `meanwhile` starts with the turn's id once it is known, and is awaited before the return.
        """
        async with asyncio.TaskGroup() as group:

            def start(turn_id: str) -> None:
                if meanwhile is not None:
                    group.create_task(meanwhile(turn_id))

            return await self._read(_Reading(session_id, content, str(uuid4()), start))

    async def _read(self, reading: "_Reading") -> ReceivedTurn:
        deadline = time.monotonic() + RETRY_SECONDS
        while reading.end is None:
            try:
                await reading.read(self._client())
            except (_Broken, httpx2.TransportError):
                if time.monotonic() > deadline:
                    raise
                reading.breaks += 1
                await asyncio.sleep(0.05)
        return reading.result()

    def _client(self) -> User:
        return self._random.choice(self._clients)


class _Reading:
    def __init__(
        self, session_id: str, content: str, key: str, on_started: Callable[[str], None]
    ) -> None:
        self.started: Event | None = None
        self.end: Event | None = None
        self.breaks = 0
        self._session_id, self._content, self._key = session_id, content, key
        self._on_started = on_started
        self._texts: list[str] = []
        self._offset = 0

    async def read(self, client: User) -> None:
        async with client.stream_request(*self._request(), timeout=_TIMEOUT) as stream:
            if (status := stream.response.status_code) != 200:
                assert status in RETRYABLE_STATUSES, (status, await stream.response.aread())
                raise _Broken(status)
            try:
                async for event in stream:
                    self._take(event)
            except AssertionError as cut:
                # A proxy may cut inside an event; the complete events before it count.
                raise _Broken("inside an event") from cut
        if self.end is None:
            raise _Broken("between events")

    def result(self) -> ReceivedTurn:
        assert self.started is not None
        assert self.end is not None
        text = "".join(self._texts)[: self.end["sequence_number"]]
        return ReceivedTurn(self._session_id, self.started, text, self.end, self.breaks)

    def _request(self) -> tuple[str, str, dict[str, Any]]:
        if self.started is None:
            body = {"content": self._content, "stream": True}
            keyed = {"json": body, "headers": {"idempotency-key": self._key}}
            return "POST", f"/sessions/{self._session_id}/messages", keyed
        path = f"/turns/{self.started['turn_id']}/stream"
        return "GET", path, {"headers": {"last-event-id": str(self._offset)}}

    def _take(self, event: Event) -> None:
        match event["type"]:
            case "turn.started":
                assert self.started is None
                self.started = event
                self._on_started(event["turn_id"])
            case "reply.delta":
                # Each delta starts where the previous one ended.
                assert event["sequence_number"] - len(event["delta"]) == self._offset, event
                self._offset = event["sequence_number"]
                self._texts.append(event["delta"])
            case _:
                self.end = event
