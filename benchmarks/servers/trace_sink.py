"""Accepts traces and forgets them: `python -m benchmarks.servers.trace_sink PORT`."""

import sys

import uvicorn
from starlette.types import Receive, Scope, Send


async def trace_sink(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(trace_sink, port=int(sys.argv[1]), log_level="warning", lifespan="off")
