"""A person's requests to Parley, and what they should be answered with."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import jwt

from parley_cli.demo_model import Message, reply_to


class Failed(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Acknowledged:
    """What the gateway confirmed of a session: its message, and its reply once there was one."""

    def __init__(self, user: str, content: str) -> None:
        self.user, self.content = user, content
        self.version = 0
        self.reply: str | None = None


class Person:
    """A client with one identity, and thus a fair share of its own."""

    def __init__(self, http: httpx2.AsyncClient, url: str, secret: str, name: str = "") -> None:
        self.name = name or f"user-{uuid4()}"
        self.token = jwt.encode({"sub": self.name, "exp": int(time.time()) + 86_400}, secret)
        self.url = url
        self._http = http

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The body of a successful response. Raises Failed, httpx2.TransportError."""
        headers = self.headers | options.pop("headers", {})
        answer = await self._http.request(method, f"{self.url}{path}", headers=headers, **options)
        if answer.status_code >= 400:
            raise Failed(_code(answer.status_code, answer.content))
        return dict(answer.json())

    @asynccontextmanager
    async def events(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        headers = self.headers | options.pop("headers", {})
        request = self._http.build_request(method, f"{self.url}{path}", headers=headers, **options)
        response = await self._begin(request)
        try:
            if response.status_code >= 400:
                raise Failed(_code(response.status_code, await response.aread()))
            yield _events(response)
        finally:
            await response.aclose()

    async def _begin(self, request: httpx2.Request) -> httpx2.Response:
        """Sends an idempotent request again if its connection ends before the response begins.

        The server may have closed a pooled connection at that moment. Browsers do the same:
        https://www.rfc-editor.org/rfc/rfc9110.html#section-9.2.2
        """
        try:
            return await self._http.send(request, stream=True)
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            if request.method != "GET":
                raise
            return await self._http.send(request, stream=True)


class Reading:
    """The stream of one turn, over several responses."""

    def __init__(self, content: str, key: str) -> None:
        self.text, self.version = "", 0
        self.end: dict[str, Any] | None = None
        self.handovers = 0
        self.retry_seconds = 0.0
        self.breaks: list[str] = []
        self._content, self._key = content, key
        self._turn_id, self._last = "", "0"

    def take(self, event: dict[str, Any]) -> None:
        self.retry_seconds = event.get("retry", self.retry_seconds)
        if "type" not in event:
            return
        self.text += event.get("delta", "")
        self._last = event["id"]
        self.version = event.get("version", self.version)
        if event["type"] == "turn.started":
            self._turn_id = event["turn_id"]
        elif event["id"] == "end":
            self.end = event
            self.text = self.text[: event["sequence_number"]]

    def request(self, session_id: str) -> tuple[str, str, dict[str, Any]]:
        if self._turn_id:
            headers = {"last-event-id": self._last}
            return "GET", f"/v1/turns/{self._turn_id}/stream", {"headers": headers}
        body = {"content": self._content, "stream": True}
        path = f"/v1/sessions/{session_id}/messages"
        return "POST", path, {"json": body, "headers": {"idempotency-key": self._key}}


def conversation(facts: int, *, stored: bool = True) -> tuple[str, str]:
    """A message, and the demo model's reply to it: three tokens more for each fact.

    A stored session has the default assistant, whose instructions the reply mentions.
    """
    stated = "".join(f" my {_letters(number)} is ø🎈{number};" for number in range(facts))
    content = f"{uuid4()}:{stated}"
    instructions = [Message("system", "You are Helper.")] if stored else []
    return content, reply_to([*instructions, Message("user", content)]).text


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "data":
            event |= json.loads(value)
        elif name == "id":
            event["id"] = value
        elif name == "retry":
            event["retry"] = int(value) / 1000
        elif not line and event:
            yield event
            event = {}


def _code(status: int, body: bytes) -> str:
    try:
        return f"{status} {json.loads(body)['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return str(status)


def name_of(error: Exception) -> str:
    if isinstance(error, Failed):
        return error.code
    return f"{type(error).__name__}: {error}"
