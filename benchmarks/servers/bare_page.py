"""Baseline of `history`: a bare ASGI application that serves one file.

Run as `python -m benchmarks.servers.bare_page PORT FILE`. It uses the HTTP server of the services,
so that the difference is the work of the services alone.
"""

import sys
from pathlib import Path

from starlette.types import Receive, Scope, Send

from parley_core.http.server import serve
from parley_core.process.process_monitor import ProcessMonitor


class BarePage:
    def __init__(self, body: bytes) -> None:
        self._start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] == "http":
            await send(self._start)
            await send(self._body)


if __name__ == "__main__":
    page = BarePage(Path(sys.argv[2]).read_bytes())
    serve(page, ProcessMonitor("page"), host="127.0.0.1", port=int(sys.argv[1]))
