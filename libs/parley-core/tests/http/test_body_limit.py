"""A body over the limit is answered 413, over real sockets and whichever way it is sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from core_fakes.observed import observe
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from parley_core.auth.principal import Principal, service_principal
from parley_core.http import body_limit
from parley_core.http.body_limit import MAX_DISCARDED_BYTES, BodyBudget, BodyLimitMiddleware
from parley_core.http.error_handlers import install_error_handlers
from parley_core.http.errors import error_body
from parley_testing.eventually import eventually
from parley_testing.serving import serving

LIMIT = 1024
REFUSAL = error_body(
    "The body is over 1024 bytes.", type="invalid_request_error", code="body_too_large"
)
MIB = 1024 * 1024
Parser = Literal["httptools", "h11"]

either_parser = pytest.mark.parametrize("parser", ["httptools", "h11"])
either_length = pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])


def application(budget: BodyBudget | None = None) -> FastAPI:
    app = FastAPI()
    app.add_middleware(BodyLimitMiddleware, limit=LIMIT, budget=budget or BodyBudget(MIB, "busy"))
    observe(app)
    install_error_handlers(app)
    app.state.calls = 0

    @app.post("/parsed")
    async def parsed(body: dict[str, str]) -> dict[str, int]:
        app.state.calls += 1
        return {"length": len(body["content"])}

    @app.post("/echo")
    async def echo(request: Request) -> StreamingResponse:
        return StreamingResponse(request.stream())

    @app.post("/deaf")
    async def deaf() -> StreamingResponse:
        return StreamingResponse(endless())

    return app


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(app: Any, parser: Parser = "httptools") -> AsyncIterator[Callable[..., Any]]:
    """Serve the application; gives what opens a connection to it."""
    writers = []
    async with serving(app, protocol=parser) as served:
        address = urlsplit(served.url)

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writers.append(writer)
            return reader, writer

        try:
            yield connect
        finally:
            for writer in writers:
                writer.close()


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: parley", "content-type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def request(body: bytes, *, announced: bool, path: str = "/parsed") -> bytes:
    if announced:
        return head(path, f"content-length: {len(body)}") + body
    pieces = [body[start : start + 500] for start in range(0, len(body), 500)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return head(path, "transfer-encoding: chunked") + b"".join(chunks) + b"0\r\n\r\n"


def body_of(size: int) -> bytes:
    return b'{"content":"%b"}' % (b"x" * (size - len('{"content":""}')))


async def answer(reader: asyncio.StreamReader) -> tuple[Any, ...]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), headers, json.loads(body)


@either_parser
@either_length
async def test_a_body_of_exactly_the_limit_passes(parser: Parser, announced: bool) -> None:
    async with listening(application(), parser) as connect:
        reader, writer = await connect()

        writer.write(request(body_of(LIMIT), announced=announced))

        status, _, body = await answer(reader)
        assert (status, body) == (200, {"length": LIMIT - len('{"content":""}')})


@either_parser
@either_length
async def test_one_byte_more_is_refused_in_the_one_shape_with_the_request_id(
    parser: Parser, announced: bool
) -> None:
    app = application()
    async with listening(app, parser) as connect:
        reader, writer = await connect()

        writer.write(request(body_of(LIMIT + 1), announced=announced))

        status, headers, body = await answer(reader)
        assert (status, body) == (413, REFUSAL)
        assert len(headers["x-request-id"]) == 32
        assert app.state.calls == 0


@either_parser
@either_length
async def test_a_client_still_sending_three_mebibytes_reads_the_answer(
    parser: Parser, announced: bool
) -> None:
    async with listening(application(), parser) as connect:
        reader, writer = await connect()

        sent = request(b"x" * 3 * MIB, announced=announced)
        for start in range(0, len(sent), 64 * 1024):
            writer.write(sent[start : start + 64 * 1024])
            await writer.drain()

        status, _, body = await answer(reader)
        assert (status, body) == (413, REFUSAL)


@either_parser
@either_length
async def test_the_connection_of_a_refused_body_takes_the_next_request(
    parser: Parser, announced: bool
) -> None:
    async with listening(application(), parser) as connect:
        reader, writer = await connect()
        writer.write(request(b"x" * MIB, announced=announced))
        await answer(reader)

        writer.write(request(body_of(LIMIT), announced=announced))

        status, _, _ = await answer(reader)
        assert status == 200


@either_parser
async def test_a_body_without_end_is_refused_once_enough_of_it_was_thrown_away(
    parser: Parser,
) -> None:
    async with listening(application(), parser) as connect:
        reader, writer = await connect()

        writer.write(head("/parsed", f"content-length: {100 * MAX_DISCARDED_BYTES}"))
        writer.write(b"x" * (MAX_DISCARDED_BYTES + 1))

        status, _, body = await answer(reader)
        assert (status, body) == (413, REFUSAL)


@either_parser
@either_length
async def test_a_body_that_does_not_come_is_refused_in_time(
    parser: Parser, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "DISCARD_SECONDS", 0.05)
    async with listening(application(), parser) as connect:
        reader, writer = await connect()

        whole = request(body_of(10 * LIMIT), announced=announced)
        writer.write(whole[: 5 * LIMIT])

        status, headers, body = await asyncio.wait_for(answer(reader), 5)
        assert (status, body) == (413, REFUSAL)
        assert headers["connection"] == "close"
        assert await reader.read() == b""


@either_length
async def test_a_client_that_leaves_amid_a_refused_body_leaves_no_error(
    announced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(application()) as connect:
        reader, writer = await connect()
        length = f"content-length: {MIB}" if announced else "transfer-encoding: chunked"
        piece = b"x" * (LIMIT + 1)
        writer.write(head("/parsed", length, "expect: 100-continue"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")

        writer.write(piece if announced else b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        writer.close()

    assert [entry for entry in caplog.records if entry.levelname == "ERROR"] == []


@pytest.mark.parametrize("path", ["/echo", "/deaf"])
async def test_an_answer_that_has_begun_is_broken_off(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(application()) as connect:
        reader, writer = await connect()
        writer.write(head(path, "transfer-encoding: chunked") + b"5\r\nfirst\r\n")
        begun = await reader.readuntil(b"\r\n\r\n")

        writer.write(b"%x\r\n%b\r\n" % (LIMIT, b"x" * LIMIT))

        rest = await reader.read()
        assert begun.startswith(b"HTTP/1.1 200 ")
        assert b"413" not in rest
        assert not rest.endswith(b"0\r\n\r\n")
    assert [entry for entry in caplog.records if entry.exc_info] == []


@either_length
async def test_bodies_over_the_budget_of_the_process_are_rejected_until_there_is_room(
    announced: bool,
) -> None:
    budget = BodyBudget(2_000, "busy")
    async with listening(application(budget)) as connect:
        for _ in range(2):
            _, writer = await connect()
            writer.write(head("/parsed", "content-length: 1000") + b"x" * 990)
        await eventually(lambda: budget.used == 1_980)
        reader, writer = await connect()
        writer.write(request(body_of(600), announced=announced))
        status, headers, body = await answer(reader)
        assert (status, body["error"]["code"], headers["retry-after"]) == (503, "busy", "1")
    await eventually(lambda: budget.used == 0)
    async with listening(application(budget)) as connect:
        for _ in range(3):
            reader, writer = await connect()
            writer.write(request(body_of(LIMIT), announced=announced))
            assert (await answer(reader))[0] == 200
    assert budget.used == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Principal("acme", "mallory"), Principal("acme", "mallory"), (429, "too_much_content")),
        (Principal("acme", "mallory"), Principal("acme", "ada"), (200, None)),
        (service_principal("inference"), service_principal("inference"), (200, None)),
    ],
)
async def test_a_person_has_a_share_of_the_budget_and_always_one_body_and_a_service_has_all_of_it(
    first: Principal, second: Principal, expected: tuple[int, str | None]
) -> None:
    budget = BodyBudget(3_000, "busy")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"principal": second if budget.used else first}
        await application(budget)(scope, receive, send)

    async with listening(app) as connect:
        _, writer = await connect()
        writer.write(head("/parsed", "content-length: 1000") + b"x" * 990)
        await eventually(lambda: budget.used == 990)
        reader, writer = await connect()
        writer.write(request(body_of(600), announced=True))
        status, headers, body = await answer(reader)
        assert (status, body.get("error", {}).get("code")) == expected
        assert (int(headers.get("retry-after", 0)) >= 1) == (status == 429)
    await eventually(lambda: budget.used == 0)


async def test_what_is_no_http_request_passes_untouched() -> None:
    passed = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append((scope, receive, send))

    untouched: tuple[Any, Any, Any] = ({"type": "lifespan"}, object(), object())
    await BodyLimitMiddleware(app, limit=1, budget=BodyBudget(1, "busy"))(*untouched)

    assert passed == [untouched]
