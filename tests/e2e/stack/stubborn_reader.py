"""A client that reads its reply to the end, whatever breaks meanwhile."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from parley_testing.event_stream import Event
from stack.person import FOR_THE_MOMENT, Person

Meanwhile = Callable[[str], Coroutine[Any, Any, None]]

PATIENCE_SECONDS = 60
# No byte within this time, and the connection is taken for dead; heartbeats come every 15 s.
_SILENCE = httpx2.Timeout(10, read=20)


@dataclass
class ReadTurn:
    """`text` is what the deltas made, cut to the length that the end told."""

    session_id: str
    started: Event
    text: str
    end: Event
    breaks: int


class _Broken(Exception):
    """The answer ended before the turn did, or none came."""


class StubbornReader:
    """One person, who calls through any of several doors, another one after each break."""

    def __init__(self, doors: Sequence[Person], chance: random.Random) -> None:
        self._doors, self._chance = doors, chance

    async def start_session(self) -> str:
        session_id = str(uuid4())
        while True:
            try:
                answer = await self._door().call("POST", "/sessions", json={"id": session_id})
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code in (201, 409):  # The answer to the first try was lost.
                return session_id
            assert answer.status_code in FOR_THE_MOMENT, answer.text

    async def turn(
        self, session_id: str, content: str, meanwhile: Meanwhile | None = None
    ) -> ReadTurn:
        """Submit, with one key, and read on from the last event until the turn has ended.

        `meanwhile` is begun with the turn's id once that is known, and ends before this does.
        """
        async with asyncio.TaskGroup() as others:

            def begin(turn_id: str) -> None:
                if meanwhile is not None:
                    others.create_task(meanwhile(turn_id))

            return await self._read(_Reading(session_id, content, str(uuid4()), begin))

    async def _read(self, reading: "_Reading") -> ReadTurn:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while reading.end is None:
            try:
                await reading.go_on(self._door())
            except (_Broken, httpx2.TransportError):
                if time.monotonic() > deadline:
                    raise
                reading.breaks += 1
                await asyncio.sleep(0.05)
        return reading.whole()

    def _door(self) -> Person:
        return self._chance.choice(self._doors)


class _Reading:
    def __init__(
        self, session_id: str, content: str, key: str, begin: Callable[[str], None]
    ) -> None:
        self.started: Event | None = None
        self.end: Event | None = None
        self.breaks = 0
        self._session_id, self._content, self._key = session_id, content, key
        self._begin = begin
        self._texts: list[str] = []
        self._place = 0

    async def go_on(self, door: Person) -> None:
        async with door.streamed(*self._request(), timeout=_SILENCE) as stream:
            if (status := stream.response.status_code) != 200:
                assert status in FOR_THE_MOMENT, (status, await stream.response.aread())
                raise _Broken(status)
            try:
                async for event in stream:
                    self._take(event)
            except AssertionError as cut:
                # A proxy may cut inside an event; what was whole before it counts.
                raise _Broken("inside an event") from cut
        if self.end is None:
            raise _Broken("between events")

    def whole(self) -> ReadTurn:
        assert self.started is not None
        assert self.end is not None
        text = "".join(self._texts)[: self.end["sequence_number"]]
        return ReadTurn(self._session_id, self.started, text, self.end, self.breaks)

    def _request(self) -> tuple[str, str, dict[str, Any]]:
        if self.started is None:
            body = {"content": self._content, "stream": True}
            keyed = {"json": body, "headers": {"idempotency-key": self._key}}
            return "POST", f"/sessions/{self._session_id}/messages", keyed
        path = f"/turns/{self.started['turn_id']}/stream"
        return "GET", path, {"headers": {"last-event-id": str(self._place)}}

    def _take(self, event: Event) -> None:
        match event["type"]:
            case "turn.started":
                assert self.started is None
                self.started = event
                self._begin(event["turn_id"])
            case "reply.delta":
                # Each delta begins just where the last one ended.
                assert event["sequence_number"] - len(event["delta"]) == self._place, event
                self._place = event["sequence_number"]
                self._texts.append(event["delta"])
            case _:
                self.end = event
