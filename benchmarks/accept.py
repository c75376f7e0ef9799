"""Time until a busy server accepts new connections, by the number of its listening sockets.

Run by itself: `python -m benchmarks.accept`. The numbers of ADR 21 come from it.
"""

import asyncio
import socket
import sys
import time
from multiprocessing import get_context
from statistics import quantiles
from typing import Any

import uvloop

BUSY_CONNECTIONS = 1_000
SINGLE = 10
BURST = 100
_REQUEST = b"GET / HTTP/1.1\r\nhost: parley\r\n\r\n"
_BODY = b"x" * 1024
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + _BODY


class _Server(asyncio.Protocol):
    """Answers each request after the CPU time of a cached page, 60 microseconds."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            end = time.perf_counter() + 60e-6
            while time.perf_counter() < end:
                pass
            self._transport.write(_RESPONSE)


class _BusyClient(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered."""

    turns: list[float] = []  # noqa: RUF012

    def connection_made(self, transport: Any) -> None:
        self._transport, self._received, self.answered = transport, 0, False
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received == len(_RESPONSE):
            self._received, self.answered = 0, True
            self.turns.append(time.perf_counter() - self._sent)
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
    started_at = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    await reader.readexactly(len(_RESPONSE))
    writer.close()
    return time.perf_counter() - started_at


async def _measure(port: int) -> tuple[float, list[float], list[float]]:
    loop = asyncio.get_running_loop()
    clients: list[_BusyClient] = []
    started_at = time.perf_counter()
    for _ in range(BUSY_CONNECTIONS):
        _, client = await loop.create_connection(_BusyClient, "127.0.0.1", port)
        clients.append(client)
    while not all(client.answered for client in clients):
        await asyncio.sleep(0.05)
    all_accepted = time.perf_counter() - started_at
    _BusyClient.turns.clear()
    single = [await _first_response(port) for _ in range(SINGLE)]
    burst = await asyncio.gather(*(_first_response(port) for _ in range(BURST)))
    return all_accepted, single, burst


def main() -> None:
    print("loop     sockets backlog  accepted 1,000, busy p50, new p50, p99, burst p50, p99")
    for loop, sockets, backlog in [
        ("uvloop", 1, 2048),
        ("uvloop", 1, 65535),
        ("uvloop", 8, 2048),
        ("uvloop", 64, 2048),
        ("asyncio", 1, 2048),
    ]:
        listening = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        context = get_context("fork")
        server = context.Process(target=_serve, args=(listening, sockets, backlog, loop))
        server.start()
        try:
            all_accepted, single, burst = uvloop.run(_measure(listening.getsockname()[1]))
        finally:
            server.kill()
            server.join()
            listening.close()
        columns = [50, 99]
        figures = [
            all_accepted * 1000,
            sorted(_BusyClient.turns)[len(_BusyClient.turns) // 2] * 1000,
        ]
        for times in (single, burst):
            figures += [quantiles(times, n=100)[column - 1] * 1000 for column in columns]
        _BusyClient.turns.clear()
        print(f"{loop:8} {sockets:7} {backlog:7}" + "".join(f" {f:6.0f} ms" for f in figures))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
