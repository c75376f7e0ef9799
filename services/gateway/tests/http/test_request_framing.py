"""Trailers, chunk extensions and slow bodies, sent to the gateway's socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import token

from parley_core.http import uvicorn_internals
from parley_core.http.uvicorn_internals import MAX_HEAD_BYTES
from parley_testing.eventually import eventually
from parley_testing.fake_service import raw
from parley_testing.session_service import FakeSessionService

MIB = 1024 * 1024
CHUNKED = (
    b"POST /v1/sessions HTTP/1.1\r\nhost: parley\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n"
)
LENGTH = b"POST /v1/sessions HTTP/1.1\r\ncontent-length: 10000\r\nauthorization: Bearer %b\r\n\r\n"
STREAMED = (
    b"POST /v1/sessions/%b/messages HTTP/1.1\r\nauthorization: Bearer %b\r\n"
    b'content-length: 34\r\n\r\n{"content":"Hello?","stream":true}'
)
# Bytes that the system may buffer between client and server, beyond those that the server reads.
BUFFERED_BYTES = 16 * MIB


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[Any]:
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def chunked(*chunks: bytes, trailers: bytes = b"", bearer: str | None = None) -> bytes:
    authorization = b"authorization: Bearer %b\r\n" % bearer.encode() if bearer else b""
    return CHUNKED + authorization + b"\r\n" + b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


async def status_of(reader: Any) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1])


async def sent_until_closed(writer: Any, piece: bytes, total: int) -> int:
    sent = 0
    with suppress(ConnectionError):
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    return sent


ENDLESS = {
    "trailers": (b"2\r\n{}\r\n0\r\n", b"x: " + b"a" * 8_000 + b"\r\n"),
    "one trailer": (b"2\r\n{}\r\n0\r\nx: ", b"a" * 8_000),
    "trailer name": (b"2\r\n{}\r\n0\r\n", b"a" * 8_000),
    "one chunk extension": (b"2;x=", b"a" * 8_000),
    "chunk extensions": (b"", b"1;x=" + b"a" * 8_000 + b"\r\n \r\n"),
    "chunk size": (b"", b"0" * 8_000),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_endless_framing_of_a_body_closes_the_connection(gateway: Gateway, kind: Any) -> None:
    before, piece = ENDLESS[kind]
    async with connected(gateway) as (_, writer), asyncio.timeout(30):
        writer.write(CHUNKED + b"\r\n" + before)

        assert await sent_until_closed(writer, piece, 100 * MIB) < BUFFERED_BYTES

    assert (await gateway.get("/livez"))[0] == 200


@pytest.mark.parametrize("piece", [b"\r\n", b"\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("requests_before", [0, 1])
async def test_endless_line_breaks_before_a_request_close_the_connection(
    gateway: Gateway, piece: Any, requests_before: Any
) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        for _ in range(requests_before):
            writer.write(b"GET /livez HTTP/1.1\r\nhost: parley\r\n\r\n")
            assert await status_of(reader) == 200

        assert await sent_until_closed(writer, piece * 4_000, 100 * MIB) < BUFFERED_BYTES


async def test_an_authorization_header_in_the_trailers_does_not_authenticate(
    gateway: Gateway,
) -> None:
    trailers = b"authorization: Bearer %b\r\n" % token().encode()
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(chunked(b"2\r\n{}\r\n", trailers=trailers))

        assert await status_of(reader) == 401


async def test_trailers_do_not_change_the_headers_of_the_request(
    gateway: Gateway, session: FakeSessionService
) -> None:
    trailers = b"idempotency-key: from-trailers\r\nx-request-id: from-trailers\r\n"
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        session.answers.append(raw(b"{}", 201))
        writer.write(chunked(b"2\r\n{}\r\n", trailers=trailers, bearer=token()))

        assert await status_of(reader) == 201

    assert session.calls[-1].key is None
    assert session.calls[-1].request_id != "from-trailers"


async def test_a_body_in_chunks_of_one_byte_passes(
    gateway: Gateway, session: FakeSessionService
) -> None:
    body = b'{"title":"%b"}' % (b"a" * 20_000)
    chunks = [b"1;n=v\r\n%c\r\n" % byte for byte in body]
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(chunked(*chunks, trailers=b"x-checksum: 1\r\n", bearer=token()))

        # Parsed as a whole: the title is too long.
        assert await status_of(reader) == 400


async def test_a_request_after_trailers_is_answered_on_the_same_connection(
    gateway: Gateway,
) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        for _ in range(3):
            writer.write(chunked(b"2\r\n{}\r\n", trailers=b"x: y\r\n" * 500))
            assert await status_of(reader) == 401


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (CHUNKED + b"\r\n0\r\nx: ", b"a"),
        (CHUNKED + b"\r\n", b"1\r\n \r\n"),
        (LENGTH % token().encode(), b" "),
        (b"POST /v1/sessions HTTP/1.1\r\ncontent-length: 10000\r\n\r\n", b" "),
    ],
    ids=["trailers", "chunks", "body", "body of an answered request"],
)
async def test_a_request_that_arrives_byte_by_byte_is_cut_off(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, head: Any, piece: Any
) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", 0.3)
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(head)
        responses = asyncio.create_task(reader.read())
        while not responses.done():
            writer.write(piece)
            await asyncio.wait({responses}, timeout=0.03)

        with suppress(ConnectionError):
            assert (await responses).count(b"HTTP/1.1 ") == 1


async def test_a_slow_body_within_the_minimum_rate_is_accepted(
    gateway: Gateway, session: FakeSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(uvicorn_internals, "MIN_BODY_BYTES_PER_SECOND", 10)
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        session.answers.append(raw(b"{}", 201))
        body = b'{"title":"%b"}' % (b"a" * 60)
        head = b"POST /v1/sessions HTTP/1.1\r\ncontent-length: %d\r\n" % len(body)
        head += b"authorization: Bearer %b\r\n\r\n" % token().encode()
        for start in range(0, len(head + body), 10):
            writer.write((head + body)[start : start + 10])
            await asyncio.sleep(0.03 if start > len(head) else 0)

        assert await status_of(reader) == 201


async def test_a_body_without_end_after_its_response_closes_the_connection(
    gateway: Gateway,
) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(CHUNKED + b"\r\n")
        assert await status_of(reader) == 401

        chunk = b"10000\r\n%b\r\n" % (b"x" * 0x10000)
        assert await sent_until_closed(writer, chunk, 500 * MIB) < 3 * BUFFERED_BYTES


async def test_a_connection_idles_out_after_a_body_that_ends_later_than_its_response(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.server.config, "timeout_keep_alive", 0.2)
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(CHUNKED + b"\r\n")
        assert await status_of(reader) == 401

        writer.write(b"0\r\n\r\n")

        assert await reader.read() == b""


async def test_more_headers_than_the_limit_are_rejected(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(b"GET /livez HTTP/1.1\r\n" + b"a:\r\n" * 300 + b"\r\n")

        assert await status_of(reader) == 431


async def test_a_head_over_the_limit_in_one_read_is_rejected(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        value = b"a" * (MAX_HEAD_BYTES + 32 * 1024)
        writer.write(b"GET /livez HTTP/1.1\r\nx: " + value + b"\r\n\r\n")

        assert await status_of(reader) == 431


async def test_thousands_of_pipelined_requests_close_the_connection(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(b"GET /livez HTTP/1.1\r\nhost: parley\r\n\r\n" * 5_000)

        with suppress(ConnectionError):
            assert (await reader.read()).count(b"HTTP/1.1 ") <= 17


async def test_a_client_that_pipelines_and_disconnects_ends_its_running_request(
    gateway: Gateway, inference: Inference
) -> None:
    inference.script(deltas("private"), Stalls())
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(STREAMED % (str(SESSION_ID).encode(), token().encode()))
        writer.write(b"GET /livez HTTP/1.1\r\nhost: parley\r\n\r\n")
        await reader.readuntil(b"private")
        assert inference.open == 1

        writer.transport.abort()

        await eventually(lambda: inference.open == 0)


async def test_an_invalid_pipelined_request_does_not_write_into_a_running_response(
    gateway: Gateway, inference: Inference
) -> None:
    inference.script(deltas("private"), Stalls())
    async with connected(gateway) as (reader, writer), asyncio.timeout(30):
        writer.write(STREAMED % (str(SESSION_ID).encode(), token().encode()))
        await reader.readuntil(b"private")

        writer.write(b"this is no HTTP\r\n\r\n")

        assert b"HTTP/1.1" not in await reader.read()
