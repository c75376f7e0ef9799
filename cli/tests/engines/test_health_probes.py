"""Probes of engines."""

import asyncio

import pytest

from parley_cli.engines.health_probes import accepts_connections


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_server_is_found_at_an_address_of_either_family(host: str, address: str) -> None:
    try:
        server = await asyncio.start_server(lambda _, writer: writer.close(), host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await accepts_connections(f"{address}:{port}")
    assert not await accepts_connections(f"{address}:{port}")
