"""A client of Parley in a pod of the cluster: it calls the gateway through its Service.

It prints a JSON object per line: `kind`, `ok`, `code`, `seconds`, and more of streams. On SIGINT it
starts nothing more, finishes what runs, reads every acknowledged message from history, and exits.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import openai
from chat_client import Acknowledged, Failed, Person, Reading, conversation, name_of

MODEL = "parley-demo"
# Twice the heartbeat of a stream, and a bit.
_TIMEOUT = httpx2.Timeout(10, read=35)
# How long a patient client repeats a request, and any client resumes a stream without progress.
_PATIENCE_SECONDS = 120
_AUDIT_SECONDS = 120
_STAGGER_SECONDS = 20


class Load:
    def __init__(self, http: httpx2.AsyncClient, options: argparse.Namespace) -> None:
        self._http, self._options = http, options
        self._secret = os.environ["PARLEY_JWT_SECRET"]
        self._acknowledged: dict[str, Acknowledged] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        options = self._options
        kinds = [
            (self.stream, options.streams),
            (self.sdk, options.sdk),
            (self.turn, options.turns),
        ]
        loops = [(kind, number, count) for kind, count in kinds for number in range(count)]
        _report("started", ok=True)
        async with asyncio.TaskGroup() as group:
            for kind, number, count in loops:
                group.create_task(self._repeat(kind, number, number / count * _STAGGER_SECONDS))
        await self._audit()

    async def stream(self, _: int) -> dict[str, Any]:
        """Read a streamed reply, and resume it wherever it breaks, as an EventSource does."""
        person, content, expected = self._person(), *conversation(self._options.facts)
        session_id = await self._session(person, content)
        reading = Reading(content, str(uuid4()))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while reading.end is None:
            method, path, options = reading.request(session_id)
            try:
                async with person.events(method, path, **options) as events:
                    async for event in events:
                        reading.take(event)
                        self._acknowledged[session_id].version = reading.version
                        deadline = time.monotonic() + _PATIENCE_SECONDS
                if reading.end is None:
                    reading.handovers += 1
                    await asyncio.sleep(reading.retry_seconds)
            except (httpx2.TransportError, Failed) as error:
                reading.breaks.append(name_of(error))
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
        if reading.end["type"] == "reply.completed":
            self._acknowledged[session_id].reply = reading.end["message"]["content"]
        found = {"handovers": reading.handovers, "breaks": reading.breaks}
        if reading.end["type"] != "reply.completed":
            code = reading.end.get("error", {}).get("code", reading.end["type"])
            return {"ok": False, "code": code} | found
        exact = reading.text == expected == reading.end["message"]["content"]
        return {"ok": exact, "code": "ok" if exact else "other_text"} | found

    async def sdk(self, number: int) -> dict[str, Any]:
        """Stream through OpenAI's package: every second time with a stored session."""
        stored = bool(number % 2)
        content, expected = conversation(self._options.facts, stored=stored)
        person, headers = self._person(), {}
        if stored:
            headers["Parley-Session-Id"] = await self._session(person, content)
        retries = 2 if self._options.patient else 0
        async with openai.AsyncOpenAI(
            base_url=f"{person.url}/v1", api_key=person.token, max_retries=retries
        ) as client:
            chunks = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": content}],
                stream=True,
                extra_headers=headers,
            )
            text = "".join(
                [each.choices[0].delta.content or "" async for each in chunks if each.choices]
            )
        if session_id := headers.get("Parley-Session-Id"):
            self._acknowledged[session_id].reply = text
        return {"ok": text == expected, "code": "ok" if text == expected else "other_text"}

    async def turn(self, _: int) -> dict[str, Any]:
        """Wait for a whole reply, then read it from history."""
        person, content, expected = self._person(), *conversation(0)
        session_id = await self._session(person, content)
        key = {"idempotency-key": str(uuid4())}
        path, body = f"/v1/sessions/{session_id}/messages", {"content": content}
        started = time.monotonic()
        turn = await self._send(lambda: person.request("POST", path, json=body, headers=key))
        known = self._acknowledged[session_id]
        known.version = turn["version"]
        if turn["status"] == "completed":
            known.reply = turn["reply"]["content"]
        seconds = round(time.monotonic() - started, 2)
        if not self._options.patient:
            await self._timed("history", lambda: self._history(session_id, known))
        if turn["status"] != "completed":
            return {"ok": False, "code": turn["error"]["code"]}
        exact = known.reply == expected
        return {"ok": exact, "code": "ok" if exact else "other_text", "seconds": seconds}

    async def _session(self, person: Person, content: str) -> str:
        session_id = str(uuid4())

        async def create() -> dict[str, Any]:
            try:
                return await person.request("POST", "/v1/sessions", json={"id": session_id})
            except Failed as error:
                if error.code.startswith("409"):  # The response to an earlier attempt was lost.
                    return {}
                raise

        await self._send(create)
        self._acknowledged[session_id] = Acknowledged(person.name, content)
        return session_id

    async def _send(self, send: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Send once; a patient client repeats the request until it succeeds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await send()
            except (httpx2.TransportError, Failed):
                if not self._options.patient or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def _history(self, session_id: str, known: Acknowledged) -> dict[str, Any]:
        """Whether history has what was acknowledged."""
        query: dict[str, Any] = {"order": "asc", "limit": 100}
        if known.version:
            query["min_version"] = known.version
        person = self._person(known.user)
        page = await person.request("GET", f"/v1/history/{session_id}", params=query)
        contents = [each["content"] for each in page["data"]]
        wanted = [known.content] if known.version else []
        wanted += [known.reply] if known.reply is not None else []
        kept = all(each in contents for each in wanted)
        return {"ok": kept, "code": "ok" if kept else "lost"}

    async def _audit(self) -> None:
        """Read everything that was acknowledged."""
        lost, places = [], asyncio.Semaphore(8)
        deadline = time.monotonic() + _AUDIT_SECONDS

        async def check(session_id: str, known: Acknowledged) -> None:
            outcome: dict[str, Any] = {"ok": False, "code": "unread"}
            async with places:
                while not outcome["ok"]:
                    try:
                        outcome = await self._history(session_id, known)
                    except (httpx2.TransportError, Failed) as error:
                        outcome["code"] = name_of(error)
                    if not outcome["ok"]:
                        if time.monotonic() > deadline:
                            lost.append({"session": session_id, "code": outcome["code"]})
                            return
                        await asyncio.sleep(0.5)

        async with asyncio.TaskGroup() as group:
            for each in self._acknowledged.items():
                group.create_task(check(*each))
        _report("audit", ok=not lost, sessions=len(self._acknowledged), lost=lost[:10])

    async def _repeat(
        self, kind: Callable[[int], Awaitable[dict[str, Any]]], number: int, wait: float
    ) -> None:
        if not self._options.once:
            await self._pause(wait)
        while not self._stopping.is_set():
            await self._timed(kind.__name__, lambda: kind(number))
            if self._options.once:
                return
            await self._pause(0.2)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _timed(self, kind: str, act: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        started = time.monotonic()
        try:
            outcome = await act()
        except (httpx2.HTTPError, openai.OpenAIError, Failed) as error:
            outcome = {"ok": False, "code": _code_of(error)}
        _report(kind, **({"seconds": round(time.monotonic() - started, 2)} | outcome))

    def _person(self, name: str = "") -> Person:
        return Person(self._http, self._options.url, self._secret, name)


def _code_of(error: Exception) -> str:
    """The status and code of an error response; the code of one in a stream."""
    if isinstance(error, openai.APIError) and error.code:
        return f"{getattr(error, 'status_code', '')} {error.code}".strip()
    return name_of(error)


def _report(kind: str, **outcome: Any) -> None:
    print(json.dumps({"kind": kind, **outcome}), flush=True)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://parley-gateway:8080")
    parser.add_argument("--streams", type=int, default=0, help="resumable streams at once")
    parser.add_argument("--sdk", type=int, default=0, help="streams of OpenAI's package at once")
    parser.add_argument("--turns", type=int, default=0, help="turns at once that are waited for")
    parser.add_argument("--facts", type=int, default=40, help="length of the streamed replies")
    parser.add_argument("--once", action="store_true", help="exit after one of each")
    parser.add_argument("--patient", action="store_true", help="repeat requests that fail")
    options = parser.parse_args()
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=_TIMEOUT, limits=limits) as http:
        load = Load(http, options)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, load.stop)
        await load.run()
    _report("ended", ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
