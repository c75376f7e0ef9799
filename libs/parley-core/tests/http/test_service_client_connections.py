"""The connections of a service client: pooled, repeated once when broken, bounded in time."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from core_fakes.service import (
    NAMES,
    client_of,
    is_unavailable,
    service,
)

from parley_core.http.errors import Unavailable


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def test_a_refused_connection_is_unavailable(nowhere: str) -> None:
    async with client_of(nowhere) as client:
        with pytest.raises(Unavailable) as error:
            await client.call("GET", "/", **NAMES)
        with pytest.raises(Unavailable):
            async with client.stream("POST", "/", **NAMES, idle_timeout=1):
                pass

    assert is_unavailable(error)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refused_connection_is_tried_once_more(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with service(handler) as client:
        refused = _refuse_first_connection(monkeypatch)
        if streamed:
            streaming = client.stream("POST", "/", **NAMES, body=b"{}", idle_timeout=5)
            async with streaming as content:
                received = await content.read()
        else:
            received = (await client.call("POST", "/", **NAMES, body=b"{}")).body

    assert (received, refused) == (b"{}", [True])


async def test_an_address_that_refuses_connections_is_tried_twice(
    nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, loop = list[Any](), asyncio.get_running_loop()
    connect = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        attempts.append(address)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    async with client_of(nowhere) as client:
        with pytest.raises(Unavailable):
            await client.call("POST", "/", **NAMES, body=b"{}", headers={"idempotency-key": "k"})

    assert len(attempts) == 2


def _refuse_first_connection(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    refused, loop = list[bool](), asyncio.get_running_loop()
    connect = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        if not refused:
            refused.append(True)
            raise ConnectionRefusedError
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    return refused


@pytest.mark.parametrize("begun", [False, True])
async def test_a_slow_response_is_unavailable(begun: bool) -> None:
    async def handler(request: web.Request) -> None:
        if begun:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"{")
        await asyncio.Event().wait()

    async with service(handler) as client:
        asked = time.monotonic()
        with pytest.raises(Unavailable) as error:
            await client.call("GET", "/", **NAMES, timeout=0.2)

        assert is_unavailable(error)
        assert time.monotonic() - asked < 1


async def test_a_truncated_response_is_unavailable() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    async with service(handler) as client:
        with pytest.raises(Unavailable):
            await client.call("POST", "/", **NAMES)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_pooled_connection_closed_by_the_server_is_not_reused(method: Any) -> None:
    connections, left = [], asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.write_eof()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client_of(f"http://127.0.0.1:{port}") as client:
        await client.call(method, "/", **NAMES)
        await left.wait()

        response = await client.call(method, "/", **NAMES)

    assert response.status == 200
    assert len(connections) == 2


@pytest.mark.parametrize("begun", [False, True])
async def test_a_call_with_an_idempotency_key_is_repeated_once_after_a_broken_connection(
    begun: Any,
) -> None:
    bodies = []

    async def breaking_off(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        if len(bodies) == 1:
            if begun:
                await web.StreamResponse(headers={"content-length": "9"}).prepare(request)
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="done")

    async with service(breaking_off) as client:
        key = {"idempotency-key": "k"}
        response = await client.call("POST", "/", **NAMES, body=b"{}", headers=key)
        assert (response.body, bodies) == (b"done", [b"{}", b"{}"])

        bodies.clear()
        with pytest.raises(Unavailable):
            await client.call("POST", "/", **NAMES, body=b"{}")
    assert bodies == [b"{}"]


async def test_sequential_calls_share_a_connection() -> None:
    peers = []

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response()

    async with service(handler) as client:
        for _ in range(3):
            await client.call("POST", "/", **NAMES, body=b"{}")

    assert len(set(peers)) == 1
