"""Random heads, chunks and trailers at the gateway's socket, with a healthy client beside them.

The suite runs a short deterministic part. `PARLEY_FUZZ_SECONDS=600` runs random cases for ten
minutes:

    PARLEY_FUZZ_SECONDS=600 .venv/bin/pytest -s services/gateway/tests/http/test_connection_fuzz.py
"""

import asyncio
import os
import random
import time
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import pytest
from gateway_fakes.gateway import Gateway
from gateway_fakes.issuer import token

from parley_core.http import body_limit, uvicorn_internals
from parley_core.http.uvicorn_internals import MAX_HEAD_BYTES, BoundedProtocol

SECONDS = float(os.environ.get("PARLEY_FUZZ_SECONDS", "0"))
CASES, CONNECTIONS = 150, 8
HEAD_TIMEOUT_SECONDS, CASE_SECONDS = 0.3, 20
# A head and a piece in the parser, and the body of one request in uvicorn's buffer.
MAX_BUFFERED_BYTES = 2 * MAX_HEAD_BYTES + 256 * 1024

LINE_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\n ", b"")
METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"CONNECT", b"OPTIONS", b"PRI", b"get", b"")
TARGETS = (
    b"/v1/sessions",
    b"/v1/models",
    b"/livez",
    b"*",
    b"host:1",
    b"http://host",
    b"/%ff%00",
    b"/\xc3\xa9",
    b"//",
    b"",
)
VERSIONS = (b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"")
HEADERS = (
    b"host: parley",
    b"connection: close",
    b"connection: upgrade",
    b"upgrade: websocket",
    b"expect: 100-continue",
    b"transfer-encoding: chunked",
    b"transfer-encoding: gzip, chunked",
    b"content-length: 5",
    b"content-length: 99999999999999999999",
    b"content-length: -1",
    b"content-type: application/json",
    b"if-none-match: *",
    b"x: " + b"a" * 5_000,
    b": ",
    b"x\x00: y",
)


def requests(choose: random.Random) -> bytes:
    return b"".join(request(choose) for _ in range(choose.choice((1, 1, 1, 2, 3, 40))))


def request(choose: random.Random) -> bytes:
    end = choose.choice(LINE_ENDS)
    start = b" ".join(choose.choice(each) for each in (METHODS, TARGETS, VERSIONS))
    headers = choose.choices(HEADERS, k=choose.choice((0, 1, 3, 6, 300)))
    if choose.random() < 0.5:
        headers.append(b"authorization: Bearer " + token().encode())
    if choose.random() < 0.6:
        headers, start = (
            [*headers[:3], b"transfer-encoding: chunked"],
            b"POST /v1/sessions HTTP/1.1",
        )
    blank = b"\r\n" * choose.choice((0, 0, 0, 1, 100))
    return blank + end.join([start, *headers, b"", b""]) + body(choose)


def body(choose: random.Random) -> bytes:
    chunks = [chunk(choose) for _ in range(choose.choice((0, 1, 5, 50)))]
    trailers = choose.choices((b"authorization: Bearer x", *HEADERS), k=choose.choice((0, 1, 50)))
    end = choose.choice(LINE_ENDS)
    return (
        b"".join(chunks) + choose.choice((b"0", b"000", b"")) + end.join([b"", *trailers, b"", b""])
    )


def chunk(choose: random.Random) -> bytes:
    content = choose.randbytes(choose.choice((1, 1, 2, 100, 20_000)))
    size = choose.choice((b"%x" % len(content),) * 9 + (b"-1", b"ffffffffffffffffff", b"g"))
    size = b"0" * choose.choice((0, 0, 0, 9, 5_000)) + size
    extension = choose.choice((b"", b"", b";", b";a=b", b';a="' + b"q" * 9_000 + b'"', b" "))
    return size + extension + choose.choice(LINE_ENDS) + content + choose.choice(LINE_ENDS)


def mutated(choose: random.Random, sent: bytes) -> bytes:
    changed = bytearray(sent)
    for _ in range(choose.choice((0, 0, 0, 1, 5))):
        if changed:
            changed[choose.randrange(len(changed))] = choose.randrange(256)
    return bytes(
        changed[: choose.choice((len(changed), len(changed), choose.randint(0, len(changed))))]
    )


async def exchange(url: str, choose: random.Random) -> bytes:
    """Send random requests; return the response once the server has closed the connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    sent = mutated(choose, requests(choose))
    try:
        responses = asyncio.create_task(reader.read())
        size = choose.choice((1 << 20, 4_096, 700))
        with suppress(ConnectionError):
            for start in range(0, len(sent), size):
                writer.write(sent[start : start + size])
                await writer.drain()
            if choose.random() < 0.1:
                writer.transport.abort()
            elif choose.random() < 0.5 and writer.can_write_eof():
                writer.write_eof()
        with suppress(ConnectionError):
            async with asyncio.timeout(CASE_SECONDS):
                return await responses
        return b""
    finally:
        writer.close()


@pytest.mark.timeout(SECONDS + 120)
async def test_random_requests_end_within_bounds_without_errors_beside_a_healthy_client(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEAD_TIMEOUT_SECONDS", HEAD_TIMEOUT_SECONDS)
    monkeypatch.setattr(body_limit, "DISCARD_SECONDS", HEAD_TIMEOUT_SECONDS)
    server, cases, most_buffered = gateway.server, 0, 0
    monkeypatch.setattr(server.config, "timeout_keep_alive", HEAD_TIMEOUT_SECONDS)
    seed = random.SystemRandom().randrange(1 << 32) if SECONDS else 0
    deadline = time.monotonic() + SECONDS
    unfinished = iter(range(seed, seed + (CASES if not SECONDS else 1 << 40)))

    async def attack() -> None:
        nonlocal cases
        for case in unfinished:
            if SECONDS and time.monotonic() > deadline:
                return
            try:
                response = await exchange(gateway.url, random.Random(case))
            except TimeoutError:
                raise AssertionError(f"case {case}: the connection stays open") from None
            assert b"HTTP/1.1 500" not in response, f"case {case}: {response!r}"
            cases += 1

    async def healthy() -> None:
        nonlocal most_buffered
        while True:
            async with asyncio.timeout(CASE_SECONDS):
                assert (await gateway.get("/livez"))[0] == 200
            for connection in cast(set[BoundedProtocol], server.server_state.connections):
                buffered = len(connection.cycle.body) if connection.cycle else 0
                most_buffered = max(most_buffered, buffered + connection._framing_bytes)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        beside = group.create_task(healthy())
        attacks = [group.create_task(attack()) for _ in range(CONNECTIONS)]
        await asyncio.wait(attacks)
        beside.cancel()

    print(f"seed {seed}: {cases} cases, at most {most_buffered} bytes buffered")
    assert most_buffered <= MAX_BUFFERED_BYTES
    assert [each for each in caplog.records if each.levelname == "ERROR" or each.exc_info] == []
