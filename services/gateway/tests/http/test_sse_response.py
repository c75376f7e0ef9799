"""Slow clients: bounded in memory and time."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_contracts import turn_sse as sse
from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService


async def test_a_slow_client_applies_back_pressure_to_inference(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(constants={"http.sse_response.HEARTBEAT_SECONDS": 60})
    piece = "x" * 65_536
    pieces = [deltas(piece, after=offset * len(piece)) for offset in range(160)]
    inference.script(*pieces, lambda: sse.ended(session.end(piece * 160)))
    async with NeverReading(gateway) as client:
        looks: list[Any] = []
        # Of 10 MiB, only what fits into sockets and buffers is written.
        await eventually(lambda: inference.written and is_constant(inference.written, looks))
        assert inference.written < 8 * 2**20
        received = await read_all(client)
    assert received.count(b"x") > 160 * 65_536


async def test_a_client_that_reads_nothing_for_two_heartbeats_is_disconnected(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(max_streams=1, constants={"http.sse_response.HEARTBEAT_SECONDS": 0.05})
    piece = "x" * 65_536
    inference.script(*(deltas(piece, after=offset * len(piece)) for offset in range(160)), Stalls())
    async with NeverReading(gateway):
        await eventually(lambda: inference.written)
        assert (await gateway.submit())[0] == 503
        await eventually(lambda: inference.open == 0)
        inference.script(lambda: sse.ended(session.end("in")))
        assert (await gateway.submit())[0] == 200


async def test_clients_that_read_nothing_do_not_slow_others(
    start: Callable[..., Awaitable[Gateway]], session: FakeSessionService, inference: Inference
) -> None:
    gateway = await start(constants={"http.sse_response.HEARTBEAT_SECONDS": 60})
    piece = "x" * 65_536
    async with AsyncExitStack() as stuck:
        for _ in range(8):
            inference.script(*(deltas(piece, after=offset * len(piece)) for offset in range(160)))
            await stuck.enter_async_context(NeverReading(gateway))
        await eventually(lambda: inference.open == 8)
        for _ in range(20):
            inference.script(deltas("Hello"), lambda: sse.ended(session.end("Hello")))
            async with asyncio.timeout(15), gateway.stream() as stream:
                assert text_of(await stream.events()) == "Hello"
        assert inference.open == 8


def is_constant(number: Any, looks: Any) -> Any:
    looks.append(number)
    return len(looks) > 40 and len(set(looks[-40:])) == 1


class NeverReading:
    """A client that requests a stream and reads nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self.host, self.port = gateway.url.removeprefix("http://").split(":")

    async def __aenter__(self) -> Any:
        loop = asyncio.get_running_loop()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(self.socket, (self.host, int(self.port)))
        body = b'{"content": "Hi", "stream": true}'
        head = (
            f"POST /v1/sessions/{SESSION_ID}/messages HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {token()}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        await loop.sock_sendall(self.socket, head.encode() + body)
        return self.socket

    async def __aexit__(self, *_: Any) -> None:
        self.socket.close()


async def read_all(client: Any) -> Any:
    loop, received = asyncio.get_running_loop(), []
    while data := await loop.sock_recv(client, 2**20):
        received.append(data)
    return b"".join(received)
