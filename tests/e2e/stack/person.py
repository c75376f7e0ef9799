"""Somebody with a token, who uses the public API and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2

from stack.events import TurnStream

# What a client should try again, with the same Idempotency-Key.
FOR_THE_MOMENT = frozenset((503, 504))
PATIENCE_SECONDS = 45


class Person:
    def __init__(self, http: httpx2.AsyncClient, token: str, gateway: str = "") -> None:
        """`gateway` is its URL; without one the client's own."""
        self.retries = 0
        self._http, self._gateway = http, gateway
        self._headers = {"authorization": f"Bearer {token}"}

    async def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> httpx2.Response:
        """A request as it is answered; `request` is httpx2's own: `json`, `content`, `params`."""
        keyed = {"idempotency-key": key} if key else {}
        sent = self._headers | keyed | (headers or {})
        return await self._http.request(
            method, f"{self._gateway}/v1{path}", headers=sent, **request
        )

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        return _body(await self.call("GET", path, params=params))

    async def post(self, path: str, body: Any, key: str | None = None) -> dict[str, Any]:
        return _body(await self.call("POST", path, json=body, key=key))

    async def patch(self, path: str, body: Any) -> dict[str, Any]:
        return _body(await self.call("PATCH", path, json=body))

    async def delete(self, path: str) -> dict[str, Any]:
        return _body(await self.call("DELETE", path))

    async def refused(self, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """The status and the error of a request that must be refused."""
        answer = await self.call(method, path, **request)
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
        return answer.status_code, answer.json()["error"]

    async def start_session(self, **body: Any) -> str:
        return str((await self.post("/sessions", body))["id"])

    async def ask(self, session_id: str, content: str, key: str | None = None) -> dict[str, Any]:
        """The turn, once it has ended."""
        return await self.post(f"/sessions/{session_id}/messages", {"content": content}, key)

    async def submit(
        self, session_id: str, content: str, key: str | None = None
    ) -> httpx2.Response:
        """As `ask`, but with whatever is answered."""
        body = {"content": content}
        return await self.call("POST", f"/sessions/{session_id}/messages", json=body, key=key)

    @asynccontextmanager
    async def stream(
        self, session_id: str, content: str, key: str | None = None
    ) -> AsyncIterator[TurnStream]:
        """Leaving the block before the end of the stream is leaving as a client."""
        sent = self._headers | ({"idempotency-key": key} if key else {})
        path = f"{self._gateway}/v1/sessions/{session_id}/messages"
        body = {"content": content, "stream": True}
        async with self._http.stream("POST", path, json=body, headers=sent) as response:
            if response.status_code != 200:
                raise AssertionError((response.status_code, await response.aread()))
            yield TurnStream(response)

    @asynccontextmanager
    async def resume(self, turn_id: str, last: str | None = None) -> AsyncIterator[TurnStream]:
        """The turn's stream after the event with that id, or from its beginning."""
        sent = self._headers | ({"last-event-id": last} if last else {})
        path = f"{self._gateway}/v1/turns/{turn_id}/stream"
        async with self._http.stream("GET", path, headers=sent) as response:
            if response.status_code != 200:
                raise AssertionError((response.status_code, await response.aread()))
            yield TurnStream(response)

    @asynccontextmanager
    async def streamed(
        self, method: str, path: str, request: dict[str, Any], timeout: httpx2.Timeout
    ) -> AsyncIterator[TurnStream]:
        """Whatever is answered, read as it comes; `request` as in `call`."""
        sent = self._headers | request.pop("headers", {})
        url = f"{self._gateway}/v1{path}"
        async with self._http.stream(
            method, url, headers=sent, timeout=timeout, **request
        ) as response:
            yield TurnStream(response)

    async def ask_until_answered(
        self, session_id: str, content: str, key: str | None = None
    ) -> dict[str, Any]:
        """The turn, however often the answer gets lost: each time with the same key."""
        key = key or str(uuid4())
        return await self._insist(lambda: self.submit(session_id, content, key))

    async def insist(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """What is answered to a call that may be made again."""
        return await self._insist(lambda: self.call(method, path, **request))

    async def history(self, session_id: str, **query: Any) -> dict[str, Any]:
        return await self.get(f"/history/{session_id}", **query)

    async def messages(self, session_id: str, version: int) -> list[dict[str, Any]]:
        """All messages of the session, oldest first, once history has come to that version."""
        query = {"limit": 100, "order": "asc", "min_version": version}
        path = f"/history/{session_id}"
        page = await self._insist(lambda: self.call("GET", path, params=query))
        messages = list(page["data"])
        while page["has_more"]:
            page = await self.history(session_id, limit=100, order="asc", after=page["last_id"])
            messages += page["data"]
        return messages

    async def _insist(self, ask: Callable[[], Awaitable[httpx2.Response]]) -> dict[str, Any]:
        """What is answered in the end; fails with what stood in the way."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            trouble: object
            try:
                answer = await ask()
            except httpx2.TransportError as error:
                trouble = error
            else:
                if answer.status_code not in FOR_THE_MOMENT:
                    return _body(answer)
                trouble = answer.text
            assert time.monotonic() < deadline, trouble
            self.retries += 1
            await asyncio.sleep(0.05)


def _body(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), (answer.status_code, answer.text)
    return dict(answer.json())
