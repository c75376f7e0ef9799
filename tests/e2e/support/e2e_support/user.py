"""A user with a token: a client of the public API that the e2e tests speak through."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2

from parley_testing.event_stream import Event, EventStream

# A client repeats such a request, with the same Idempotency-Key.
RETRYABLE_STATUSES = frozenset((503, 504))
RETRY_SECONDS = 45


class TurnStream(EventStream):
    """The server-sent events of a turn."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(response, partial(anext, response.aiter_bytes(), b""))

    async def started(self) -> Event:
        """The first event, `turn.started`: the message is committed."""
        event = await self.event()
        assert event is not None, "the stream ended before its first event"
        assert event["type"] == "turn.started", event
        return event


class User:
    def __init__(self, http: httpx2.AsyncClient, token: str, gateway: str = "") -> None:
        """`gateway` is the base URL to call; by default that of the HTTP client."""
        self.retries = 0
        self._http, self._gateway = http, gateway
        self._headers = {"authorization": f"Bearer {token}"}

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        """The response, whatever its status; `options` (`json`, `params`, …) are httpx2's."""
        keyed = {"idempotency-key": key} if key else {}
        sent = self._headers | keyed | (headers or {})
        return await self._http.request(
            method, f"{self._gateway}/v1{path}", headers=sent, **options
        )

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        return _body(await self.request("GET", path, params=params))

    async def post(self, path: str, body: Any, key: str | None = None) -> dict[str, Any]:
        return _body(await self.request("POST", path, json=body, key=key))

    async def patch(self, path: str, body: Any) -> dict[str, Any]:
        return _body(await self.request("PATCH", path, json=body))

    async def delete(self, path: str) -> dict[str, Any]:
        return _body(await self.request("DELETE", path))

    async def expect_error(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, dict[str, Any]]:
        """The status and the error of a request that fails with a 4xx status."""
        answer = await self.request(method, path, **options)
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
        return answer.status_code, answer.json()["error"]

    async def start_session(self, **body: Any) -> str:
        return str((await self.post("/sessions", body))["id"])

    async def send(self, session_id: str, content: str, key: str | None = None) -> dict[str, Any]:
        """Submit a message; return the turn once it has ended."""
        return await self.post(f"/sessions/{session_id}/messages", {"content": content}, key)

    async def submit(
        self, session_id: str, content: str, key: str | None = None
    ) -> httpx2.Response:
        """Submit a message; return the response, whatever its status."""
        body = {"content": content}
        return await self.request("POST", f"/sessions/{session_id}/messages", json=body, key=key)

    @asynccontextmanager
    async def stream(
        self, session_id: str, content: str, key: str | None = None
    ) -> AsyncIterator[TurnStream]:
        """Submit a message and stream the reply; leaving the block early disconnects the client."""
        sent = self._headers | ({"idempotency-key": key} if key else {})
        path = f"{self._gateway}/v1/sessions/{session_id}/messages"
        body = {"content": content, "stream": True}
        async with self._http.stream("POST", path, json=body, headers=sent) as response:
            if response.status_code != 200:
                raise AssertionError((response.status_code, await response.aread()))
            yield TurnStream(response)

    @asynccontextmanager
    async def resume(self, turn_id: str, last: str | None = None) -> AsyncIterator[TurnStream]:
        """The turn's stream after the event with the id `last`, by default from its start."""
        sent = self._headers | ({"last-event-id": last} if last else {})
        path = f"{self._gateway}/v1/turns/{turn_id}/stream"
        async with self._http.stream("GET", path, headers=sent) as response:
            if response.status_code != 200:
                raise AssertionError((response.status_code, await response.aread()))
            yield TurnStream(response)

    @asynccontextmanager
    async def stream_request(
        self, method: str, path: str, options: dict[str, Any], timeout: httpx2.Timeout
    ) -> AsyncIterator[TurnStream]:
        """The response as a stream, whatever its status; `options` as in `request`."""
        sent = self._headers | options.pop("headers", {})
        url = f"{self._gateway}/v1{path}"
        async with self._http.stream(
            method, url, headers=sent, timeout=timeout, **options
        ) as response:
            yield TurnStream(response)

    async def send_with_retries(
        self, session_id: str, content: str, key: str | None = None
    ) -> dict[str, Any]:
        """Submit a message until a response arrives, with one key; return the ended turn."""
        key = key or str(uuid4())
        return await self._retry(lambda: self.submit(session_id, content, key))

    async def request_with_retries(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The body of an idempotent request, which is repeated until a response arrives."""
        return await self._retry(lambda: self.request(method, path, **options))

    async def history(self, session_id: str, **query: Any) -> dict[str, Any]:
        return await self.get(f"/history/{session_id}", **query)

    async def messages(self, session_id: str, version: int) -> list[dict[str, Any]]:
        """All messages of the session, oldest first, once history has projected that version."""
        query = {"limit": 100, "order": "asc", "min_version": version}
        path = f"/history/{session_id}"
        page = await self._retry(lambda: self.request("GET", path, params=query))
        messages = list(page["data"])
        while page["has_more"]:
            page = await self.history(session_id, limit=100, order="asc", after=page["last_id"])
            messages += page["data"]
        return messages

    async def _retry(self, send: Callable[[], Awaitable[httpx2.Response]]) -> dict[str, Any]:
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            failure: object
            try:
                answer = await send()
            except httpx2.TransportError as error:
                failure = error
            else:
                if answer.status_code not in RETRYABLE_STATUSES:
                    return _body(answer)
                failure = answer.text
            assert time.monotonic() < deadline, failure
            self.retries += 1
            await asyncio.sleep(0.05)


def _body(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), (answer.status_code, answer.text)
    return dict(answer.json())
