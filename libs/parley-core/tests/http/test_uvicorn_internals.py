"""BoundedProtocol limits request heads and stalled writes, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from parley_core.http import uvicorn_internals
from parley_core.http.uvicorn_internals import MAX_HEAD_BYTES, BoundedProtocol
from parley_testing.eventually import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: parley\r\n"
READ_BYTES = 256 * 1024  # The maximum that asyncio reads at once.


LARGE = 16 * 1024 * 1024  # Exceeds the system's socket buffers.


@asynccontextmanager
async def connected(
    content: Any = "hello", state: Any = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an application with this response."""
    state = state or ServerState()
    config = uvicorn.Config(PlainTextResponse(content), log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*state.tasks)


async def read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), headers, body


async def send(writer: asyncio.StreamWriter, data: bytes, size: int = 1024) -> None:
    """Write in pieces; each is read before the next one is written."""
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.mark.parametrize("piece", [b"a" * 1024, b"\r\nx: " + b"a" * 1019], ids=["one", "many"])
async def test_endless_headers_are_rejected_in_the_error_shape(piece: bytes) -> None:
    async with connected() as (reader, writer):
        await send(writer, REQUEST + b"x: ")
        await send(writer, (piece * (MAX_HEAD_BYTES // 1024 + 1))[: MAX_HEAD_BYTES + 1])

        status, headers, body = await read_response(reader)
        assert status == 431
        assert json.loads(body)["error"]["code"] == "request_header_fields_too_large"
        assert len(headers["x-request-id"]) == 32
        assert await reader.read() == b""


async def test_heads_up_to_the_limit_pass_repeatedly_on_one_connection() -> None:
    async with connected() as (reader, writer):
        for _ in range(3):
            await send(writer, REQUEST + b"x: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")

            status, _, body = await read_response(reader)
            assert (status, body) == (200, b"hello")


async def test_a_body_and_a_pipelined_request_do_not_count_as_a_head() -> None:
    async with connected() as (reader, writer):
        body = b"x" * (READ_BYTES // 2)
        first = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        writer.write(first + REQUEST)
        assert (await read_response(reader))[0] == 200

        writer.write(b"\r\n")

        assert (await read_response(reader))[0] == 200


async def test_invalid_http_is_rejected_in_the_error_shape() -> None:
    async with connected() as (reader, writer):
        writer.write(b"this is no HTTP\r\n\r\n")

        status, headers, body = await read_response(reader)
        assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")
        assert headers["content-type"] == "application/json"
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"", REQUEST], ids=["nothing", "half a head"])
async def test_a_slow_first_head_closes_the_connection(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", 0.05)
    async with connected() as (reader, writer), asyncio.timeout(15):
        writer.write(sent)

        assert await reader.read() == b""


async def test_a_slow_later_head_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", 0.05)
    async with connected() as (reader, writer), asyncio.timeout(15):
        writer.write(REQUEST + b"\r\n")
        assert (await read_response(reader))[0] == 200

        writer.write(REQUEST)

        assert await reader.read() == b""


async def test_an_unread_response_aborts_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_internals, "WRITE_STALL_TIMEOUT_SECONDS", 0.2)
    state = ServerState()
    async with connected("x" * LARGE, state) as (reader, writer):
        await eventually(lambda: state.connections)
        transport = cast(asyncio.Transport, writer.transport)
        transport.pause_reading()
        writer.write(REQUEST + b"\r\n")
        await eventually(lambda: not state.connections)
        transport.resume_reading()

        read = 0
        with suppress(ConnectionError):
            while piece := await reader.read(READ_BYTES):
                read += len(piece)
        assert read < LARGE


async def test_a_slowly_read_response_arrives_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_internals, "WRITE_STALL_TIMEOUT_SECONDS", 0.2)
    async with connected("x" * LARGE) as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(32):
            await reader.readexactly(LARGE // 32)
            await asyncio.sleep(0.02)  # A slow client.


async def test_an_idle_connection_outlives_the_head_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", 0.05)
    async with connected() as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        await read_response(reader)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read()

        writer.write(REQUEST + b"\r\n")

        assert (await read_response(reader))[0] == 200
