"""Time until a busy server accepts new connections, by the number of its listening sockets.

Run by itself, in two minutes: `python -m benchmarks.overload.accept`. The measurement of ADR 21.
"""

import asyncio
import socket
import time
from multiprocessing import get_context
from statistics import median, quantiles
from typing import Any

import uvloop

BUSY_CONNECTIONS = 1_000
SINGLE = 10
BURST = 100
BACKLOG, LARGE_BACKLOG = 2048, 65_535
REQUEST_CPU_SECONDS = 60e-6  # A cached page through the gateway.
_REQUEST = b"GET / HTTP/1.1\r\nhost: parley\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + b"x" * 1024


class _Server(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            end = time.perf_counter() + REQUEST_CPU_SECONDS
            while time.perf_counter() < end:
                pass
            self._transport.write(_RESPONSE)


class _BusyClient(asyncio.Protocol):
    """Sends its next request as soon as the previous one is answered."""

    def __init__(self, latencies: list[float]) -> None:
        self._latencies, self._received, self.answered = latencies, 0, False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received == len(_RESPONSE):
            self._received, self.answered = 0, True
            self._latencies.append(time.perf_counter() - self._sent)
            self._send()


def _serve(listening: socket.socket, sockets: int, backlog: int, loop: str) -> None:
    async def serve() -> None:
        for _ in range(sockets):
            await asyncio.get_running_loop().create_server(
                _Server, sock=listening.dup(), backlog=backlog
            )
        await asyncio.Event().wait()

    (uvloop.run if loop == "uvloop" else asyncio.run)(serve())


async def _first_response(port: int) -> float:
    """Seconds from the connect of a new connection to its first response."""
    started_at = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    await reader.readexactly(len(_RESPONSE))
    writer.close()
    return time.perf_counter() - started_at


async def _measure(port: int) -> list[float]:
    latencies: list[float] = []
    clients: list[_BusyClient] = []
    started_at = time.perf_counter()
    for _ in range(BUSY_CONNECTIONS):
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: _BusyClient(latencies), "127.0.0.1", port
        )
        clients.append(client)
    while not all(client.answered for client in clients):
        await asyncio.sleep(0.05)
    all_accepted = time.perf_counter() - started_at
    latencies.clear()
    single = [await _first_response(port) for _ in range(SINGLE)]
    burst = await asyncio.gather(*(_first_response(port) for _ in range(BURST)))
    return [
        all_accepted,
        median(latencies),
        median(single),
        max(single),
        median(burst),
        quantiles(burst, n=100)[98],
    ]


def main() -> None:
    print(
        "loop     sockets backlog | 1,000 accepted | busy p50 | one more p50, max "
        "| 100 more p50, p99   (ms)"
    )
    for loop, sockets, backlog in [
        ("uvloop", 1, BACKLOG),
        ("uvloop", 1, LARGE_BACKLOG),
        ("uvloop", 8, BACKLOG),
        ("uvloop", 64, BACKLOG),
        ("asyncio", 1, BACKLOG),
    ]:
        listening = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        server = get_context("fork").Process(
            target=_serve, args=(listening, sockets, backlog, loop)
        )
        server.start()
        try:
            times = uvloop.run(_measure(listening.getsockname()[1]))
        finally:
            server.kill()
            server.join()
            listening.close()
        figures = "".join(f" {seconds * 1000:8.0f}" for seconds in times)
        print(f"{loop:8} {sockets:7} {backlog:7}" + figures, flush=True)


if __name__ == "__main__":
    main()
