"""Baseline servers: a fake model server, unpaced or paced, and a bare relay.

`python -m benchmarks.servers.fake_model PORT` answers every chat completion with TOKENS tokens,
each in its own chunk and write. `… PORT SECONDS` waits between tokens, as many as `[tokens N]` in
the request asks for. `… PORT URL` relays raw bytes from the server at the URL.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

TOKENS = 200
TOKEN = "token "


def _chunk(delta: dict[str, str], finish_reason: str | None) -> bytes:
    chunk = {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


_FIRST = _chunk({"role": "assistant", "content": ""}, None)
_TOKEN = _chunk({"content": TOKEN}, None)
_LAST = _chunk({}, "stop") + b"data: [DONE]\n\n"
_REQUESTED_TOKENS = re.compile(rb"\[tokens (\d+)\]")
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}


async def fake_model(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    for event in (_FIRST, *[_TOKEN] * TOKENS, _LAST):
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class PacedModel:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await send(_START)
        await send({"type": "http.response.body", "body": _FIRST, "more_body": True})
        started_at = time.perf_counter()
        for index in range(int(_REQUESTED_TOKENS.findall(body)[-1])):
            # Scheduled from the start, so that a late token does not delay the following ones.
            await asyncio.sleep(started_at + index * self._seconds - time.perf_counter())
            await send({"type": "http.response.body", "body": _TOKEN, "more_body": True})
        await send({"type": "http.response.body", "body": _LAST})


class BareRelay:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._http: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        while (await receive()).get("more_body"):
            pass
        async with self._http.post(self._upstream, data=b"{}") as response:
            await send(_START)
            async for data in response.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    application: Any = fake_model
    if len(sys.argv) > 2:
        is_url = sys.argv[2].startswith("http")
        application = BareRelay(sys.argv[2]) if is_url else PacedModel(float(sys.argv[2]))
    uvicorn.run(
        application,
        port=int(sys.argv[1]),
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
