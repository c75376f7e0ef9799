"""The listener for TLS limits the connections whose handshake is not complete."""

import asyncio
import socket
from pathlib import Path

import pytest
from core_fakes.certificates import CertificateFiles, ProcessSettings

from parley_core.http.connection_limits import ConnectionLimits
from parley_core.runtime.settings import load
from parley_core.tls import tls_listener
from parley_core.tls.tls_listener import TlsListener
from parley_testing.eventually import eventually


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)
        self._transport.close()


async def test_a_client_that_never_finishes_its_handshake_takes_no_place_from_open_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine, the test may take longer than a handshake may.
    monkeypatch.setattr(tls_listener, "HANDSHAKE_SECONDS", 300)
    files = CertificateFiles(tmp_path)
    for name, value in files.variables("server").items():
        monkeypatch.setenv(name, value)
    tls = load(ProcessSettings).tls
    limits = ConnectionLimits(max_connections=2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, port = listening.getsockname()
        listener = TlsListener([listening], Echo, lambda: tls.server, limits, backlog=10)
        try:
            _, silent = await asyncio.open_connection(address, port)
            # Open connections, of which the handshake is complete, do not count.
            for _ in range(3):
                reader, writer = await asyncio.open_connection(address, port, ssl=files.client())
                writer.write(b"hello")
                assert await reader.read() == b"hello"
            _, also_silent = await asyncio.open_connection(address, port)
            await eventually(lambda: limits._connections == 2)

            refused, third = await asyncio.open_connection(address, port)
            assert await refused.read() == b""

            for each in (silent, also_silent, third):
                each.close()
            await eventually(lambda: limits._connections == 0)
        finally:
            listener.close()
            await listener.wait_closed()
