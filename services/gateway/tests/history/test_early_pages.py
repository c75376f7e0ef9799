"""A repeated request for a cached page is answered before it is parsed, as if it had been."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from gateway_fakes.connection import Connection, connected
from gateway_fakes.gateway import SESSION_ID, Gateway
from gateway_fakes.history import History
from gateway_fakes.issuer import token

from parley_gateway.history import page_cache_middleware
from parley_gateway.history.version_lookup import VersionLookup
from parley_testing.eventually import eventually
from parley_testing.session_service import FakeSessionService

PATH = f"/v1/history/{SESSION_ID}"
# One token, as its bytes are a part of the request; it outlives a slow run of the tests.
BEARER = token(exp=int(time.time()) + 86_400)


def get(path: str = PATH, bearer: str | None = None, *headers: str) -> bytes:
    authorization = f"authorization: Bearer {bearer or BEARER}"
    lines = [f"GET {path} HTTP/1.1", "host: parley", authorization, *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


class ParsedRequests:
    """Counts the requests that reach the ASGI application."""

    def __init__(self) -> None:
        self.count = 0


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> ParsedRequests:
    requests, call = ParsedRequests(), page_cache_middleware.PageCacheMiddleware.__call__

    async def counted(self: Any, scope: Any, receive: Any, send: Any) -> None:
        requests.count += scope["type"] == "http"
        await call(self, scope, receive, send)

    monkeypatch.setattr(page_cache_middleware.PageCacheMiddleware, "__call__", counted)
    return requests


@pytest.fixture
def commit(session: FakeSessionService, history: History) -> Callable[..., None]:
    """Commits and projects a version of the session."""

    def commit(version: int, text: str = "Hello") -> None:
        history.project(SESSION_ID, version, text)
        session.versions[SESSION_ID] = version

    return commit


@pytest.fixture
async def remembered(
    commit: Callable[..., None], gateway: Gateway, parsed: ParsedRequests
) -> AsyncIterator[Connection]:
    """A connection on which the ordinary request has become a remembered one."""
    commit(4)
    async with connected(gateway) as connection:
        await remember(connection, parsed, get())
        yield connection


async def remember(connection: Connection, parsed: ParsedRequests, request: bytes) -> None:
    async def is_remembered() -> bool:
        before = parsed.count
        await connection.exchange(request)
        return parsed.count == before

    await eventually(is_remembered)


@pytest.fixture
def protocol(remembered: Connection, gateway: Gateway) -> Any:
    """The server's end of the connection."""
    [protocol] = gateway.server.server_state.connections
    return protocol


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ('if-none-match: W/"4"',),
        ('if-none-match: W/"3"',),
        ("connection: keep-alive", "traceparent: 00-1-1-01"),
    ],
)
async def test_a_repeated_request_has_the_same_response_but_its_id_without_being_parsed(
    commit: Callable[..., None], gateway: Gateway, parsed: ParsedRequests, headers: tuple[str, ...]
) -> None:
    commit(4)
    async with connected(gateway) as connection:
        await connection.exchange(get())  # The page is cached now.
        first = await connection.exchange(get(PATH, None, *headers))
        await remember(connection, parsed, get(PATH, None, *headers))
        before = parsed.count
        again = [await connection.exchange(get(PATH, None, *headers)) for _ in range(3)]
        assert parsed.count == before
        assert {each.without_id == first.without_id for each in again} == {True}
        ids = {each.headers["x-request-id"] for each in [first, *again]}
        assert {len(each) for each in ids} == {32}
        assert len(ids) == 4


async def test_a_remembered_request_reads_what_was_written_meanwhile(
    remembered: Connection, commit: Callable[..., None]
) -> None:
    for version in range(5, 9):
        commit(version, f"Version {version}")
        for _ in range(3):
            response = await remembered.exchange(get())
            assert response.headers["etag"] == f'w/"{version}"'
            assert f"Version {version}".encode() in response.body


async def test_a_remembered_request_of_a_deleted_session_is_a_404(
    remembered: Connection, session: FakeSessionService, history: History
) -> None:
    session.versions[SESSION_ID] = 0
    assert (await remembered.exchange(get())).status == 404
    assert (await remembered.exchange(get())).status == 404


async def test_a_remembered_request_needs_a_token_that_is_still_verified(
    remembered: Connection, gateway: Gateway, parsed: ParsedRequests
) -> None:
    gateway.app.tokens.clear()
    before = parsed.count
    assert (await remembered.exchange(get())).status == 200
    assert parsed.count == before + 1  # It was verified again.


async def test_a_remembered_request_of_one_person_is_nobody_elses(
    remembered: Connection, parsed: ParsedRequests
) -> None:
    for bearer, status in ((token(sub="eve"), 404), (BEARER + "x", 401), ("x", 401)):
        assert (await remembered.exchange(get(PATH, bearer))).status == status
    assert (await remembered.exchange(get(PATH + "?limit=1&limit=2"))).status == 400
    before = parsed.count
    assert (await remembered.exchange(get())).status == 200
    assert parsed.count == before


@pytest.mark.parametrize(
    "header", ["origin: https://chat.example", "connection: close", "x-request-id: req-7"]
)
async def test_a_request_with_a_special_header_is_parsed_each_time(
    commit: Callable[..., None], gateway: Gateway, parsed: ParsedRequests, header: str
) -> None:
    commit(4)
    for number in range(4):
        async with connected(gateway) as connection:
            response = await connection.exchange(get(PATH, None, header))
        assert response.status == 200
        assert parsed.count == number + 1
    name, value = header.split(": ")
    assert name == "origin" or response.headers.get(name) == value


async def test_pipelined_requests_are_answered_in_order(
    remembered: Connection, commit: Callable[..., None]
) -> None:
    other = get("/v1/client-config")
    # In one read, and in several while the first one waits for its version.
    await remembered.send(get() + other + get())
    assert [(await remembered.receive()).status for _ in range(3)] == [200] * 3
    for data in (get(), other, get(PATH + "?limit=1"), get()):
        remembered.writer.write(data)
        await asyncio.sleep(0)
    responses = [await remembered.receive() for _ in range(4)]
    assert [each.status for each in responses] == [200] * 4
    assert ["etag" in each.headers for each in responses] == [True, False, True, True]


async def test_a_remembered_request_in_parts_is_parsed(
    remembered: Connection, parsed: ParsedRequests, protocol: Any
) -> None:
    before, request = parsed.count, get()
    await remembered.send(request[:40])
    await eventually(lambda: protocol._framing_bytes > 0)
    await remembered.send(request[40:])
    assert (await remembered.receive()).status == 200
    assert parsed.count == before + 1


async def test_the_bytes_of_a_request_within_the_body_of_another_are_not_a_request(
    remembered: Connection, protocol: Any
) -> None:
    request = get()
    head = f"POST /v1/search HTTP/1.1\r\nhost: p\r\ncontent-length: {len(request)}\r\n\r\n"
    await remembered.send(head.encode())
    await eventually(lambda: not protocol._head_is_open)
    assert (await remembered.exchange(request)).status == 401
    assert (await remembered.exchange(request)).status == 200


async def test_a_connection_that_was_answered_early_is_closed_when_it_stays_idle(
    remembered: Connection, protocol: Any
) -> None:
    protocol.timeout_keep_alive_handler()
    assert (await remembered.exchange(get())).status == 200
    protocol.timeout_keep_alive = -1
    protocol.timeout_keep_alive_handler()
    assert await remembered.reader.read() == b""


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Versions are known once it is set."""
    may_answer, current = asyncio.Event(), VersionLookup.current

    async def delayed(self: VersionLookup, session_id: UUID) -> int:
        await may_answer.wait()
        return await current(self, session_id)

    monkeypatch.setattr(VersionLookup, "current", delayed)
    return may_answer


async def test_a_shutdown_answers_a_remembered_request_that_waits_for_its_version(
    remembered: Connection, protocol: Any, lookup: asyncio.Event
) -> None:
    await remembered.send(get())
    await eventually(lambda: protocol._sent_meanwhile is not None)
    protocol.shutdown()
    lookup.set()
    assert (await remembered.receive()).status == 200
    assert await remembered.reader.read() == b""


async def test_what_a_client_sends_before_its_response_is_read_after_it(
    remembered: Connection, protocol: Any, lookup: asyncio.Event, parsed: ParsedRequests
) -> None:
    before = parsed.count
    await remembered.send(get())
    await eventually(lambda: protocol._sent_meanwhile is not None)
    await remembered.send(get("/v1/client-config"))
    await eventually(lambda: bool(protocol._sent_meanwhile))
    assert parsed.count == before
    await remembered.send(b"GET /v1/client-config HTTP/1.1\r\nhost: p\r\n\r\n" * 8)
    lookup.set()
    responses = [await remembered.receive() for _ in range(10)]
    assert ["etag" in each.headers for each in responses] == [True] + [False] * 9


async def test_a_client_that_leaves_before_its_response_is_no_error(
    remembered: Connection, gateway: Gateway, lookup: asyncio.Event, protocol: Any
) -> None:
    await remembered.send(get())
    await eventually(lambda: protocol._sent_meanwhile is not None)
    remembered.writer.close()
    await eventually(lambda: not gateway.server.server_state.connections)
    lookup.set()
    async with connected(gateway) as another:
        assert (await another.exchange(get())).status == 200


async def test_a_request_within_a_limit_is_counted_and_answered_before_it_is_parsed(
    start: Callable[..., Any], commit: Callable[..., None], parsed: ParsedRequests, tmp_path: Path
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("limits: [{requests_per_minute: 100000}]")
    gateway = await start(limits_file=path)
    commit(4)
    async with connected(gateway) as connection:
        await remember(connection, parsed, get())
        before = parsed.count
        responses = [await connection.exchange(get()) for _ in range(3)]
        assert parsed.count == before
    remaining = [int(each.headers["x-ratelimit-remaining-requests"]) for each in responses]
    assert remaining == [*range(remaining[0], remaining[0] - 3, -1)]
