"""Connection limits: in total, per client address, with exempt proxies."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
import uvicorn
from pydantic import TypeAdapter, ValidationError
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from parley_core.http.connection_limits import (
    ConnectionLimits,
    Networks,
    connections_within,
    raise_descriptor_limit,
)
from parley_core.http.uvicorn_internals import BoundedProtocol
from parley_testing.eventually import eventually

REQUEST = b"GET / HTTP/1.1\r\nhost: parley\r\n\r\n"


@asynccontextmanager
async def listening(limits: Any) -> AsyncIterator[tuple[Callable[..., Any], ServerState]]:
    """A server with these limits; gives what opens a connection to it."""
    state = ServerState()
    config = uvicorn.Config(PlainTextResponse("hello"), log_config=None, ws="none")
    config.load()
    protocol = partial(BoundedProtocol, config, state, {}, limits=limits)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    writers = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield connect, state
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await eventually(lambda: not state.connections)


async def is_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(REQUEST)
    return (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")


def metrics(limits: ConnectionLimits) -> dict[str, float]:
    """By limit; the number of open connections has the empty name."""
    samples = [sample for metric in limits.collect() for sample in metric.samples]
    return {sample.labels.get("limit", ""): sample.value for sample in samples}


async def test_refused_connections_are_counted_by_their_limit() -> None:
    limits = ConnectionLimits(max_connections=3, max_per_address=2)
    assert [limits.admit("192.0.2.1") for _ in range(4)] == [True, True, False, False]
    assert [limits.admit(f"192.0.2.{last}") for last in (2, 3)] == [True, False]
    assert metrics(limits) == {"": 3, "address": 2, "total": 1}
    limits.release("192.0.2.2")
    assert metrics(limits) == {"": 2, "address": 2, "total": 1}


@pytest.mark.parametrize("limit", [{"max_connections": 2}, {"max_per_address": 2}])
async def test_a_connection_over_the_limit_is_refused_until_another_one_ends(
    limit: dict[str, Any],
) -> None:
    async with listening(ConnectionLimits(**limit)) as (connect, state), asyncio.timeout(30):
        first, second = await connect(), await connect()
        assert await is_served(*first)
        assert await is_served(*second)

        reader, _ = await connect()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head
        assert b"x-request-id: " in head
        assert json.loads(body)["error"]["code"] == "too_many_connections"

        first[1].close()
        await eventually(lambda: len(state.connections) == 1)
        assert await is_served(*await connect())
        assert await is_served(*second)


async def test_exempt_addresses_count_towards_the_total_only() -> None:
    exempt = (ip_network("127.0.0.0/8"),)
    limits = ConnectionLimits(max_connections=3, max_per_address=1, exempt=exempt)
    async with listening(limits) as (connect, _), asyncio.timeout(30):
        for _ in range(3):
            assert await is_served(*await connect())

        reader, _ = await connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_zero_is_no_limit() -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        connect, state = await stack.enter_async_context(listening(ConnectionLimits()))
        for _ in range(50):
            await connect()

        await eventually(lambda: len(state.connections) == 50)


@pytest.mark.parametrize(
    ("one", "other", "is_one_client"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", False),
    ],
)
async def test_an_ipv6_client_is_a_64_bit_network(
    one: str, other: str, is_one_client: bool
) -> None:
    limits = ConnectionLimits(max_per_address=1)
    assert limits.admit(one)

    assert limits.admit(other) is not is_one_client


async def test_addresses_without_connections_are_forgotten() -> None:
    limits = ConnectionLimits(max_per_address=1)
    for number in range(100):
        assert limits.admit(f"192.0.2.{number}")
        limits.release(f"192.0.2.{number}")

    assert not limits._by_address


async def test_refusals_are_logged_once_in_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    limits = ConnectionLimits(max_connections=1)
    limits.admit("192.0.2.1")
    for _ in range(1_000):
        limits.admit("192.0.2.1")

    assert len(caplog.records) == 1


def test_networks_are_read_from_text() -> None:
    networks = TypeAdapter(Networks)
    assert networks.validate_python("10.0.0.0/8, ::1") == (
        ip_network("10.0.0.0/8"),
        ip_network("::1"),
    )
    with pytest.raises(ValidationError):
        networks.validate_python("proxy.example")


@pytest.mark.parametrize("accepts", [True, False])
def test_the_soft_limit_of_file_descriptors_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, accepts: bool
) -> None:
    set_to = []

    def setrlimit(kind: int, limits: tuple[int, int]) -> None:
        if not accepts:
            raise ValueError
        set_to.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)

    assert raise_descriptor_limit() == (4_096 if accepts else 1_024)
    assert set_to == ([(4_096, 4_096)] if accepts else [])


def test_file_descriptors_suffice_for_each_connection_and_its_forwarded_request() -> None:
    assert connections_within(4_096) == 1_920
    assert connections_within(4_096, with_tls=True) == 1_280
    assert connections_within(64) == 1
    assert connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[1]) >= 1
