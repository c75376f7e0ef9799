"""Listener for TLS: limits of incomplete handshakes, and failures to accept."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from core_fakes.certificates import CertificateFiles, ProcessSettings

from parley_core.http.connection_limits import ConnectionLimits
from parley_core.runtime.settings import load
from parley_core.tls import tls_listener
from parley_core.tls.tls_listener import TlsListener
from parley_core.tls.tls_settings import TlsSettings
from parley_testing.eventually import eventually


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)
        self._transport.close()


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path)


@pytest.fixture
def tls(files: CertificateFiles, monkeypatch: pytest.MonkeyPatch) -> TlsSettings:
    for name, value in files.variables("server").items():
        monkeypatch.setenv(name, value)
    return load(ProcessSettings).tls


@asynccontextmanager
async def listening(tls: TlsSettings, limits: ConnectionLimits) -> AsyncIterator[tuple[str, int]]:
    """A listener with the protocol Echo; yields its address and port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        listener = TlsListener([bound], Echo, lambda: tls.server, limits, backlog=10)
        try:
            yield bound.getsockname()
        finally:
            listener.close()
            await listener.wait_closed()


async def echo(files: CertificateFiles, address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address, ssl=files.client())
    writer.write(b"hello")
    return await reader.read()


async def test_a_client_that_never_finishes_its_handshake_takes_no_place_from_open_connections(
    files: CertificateFiles, tls: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine, the test may take longer than a handshake may.
    monkeypatch.setattr(tls_listener, "HANDSHAKE_SECONDS", 300)
    limits = ConnectionLimits(max_connections=2)
    async with listening(tls, limits) as address:
        _, silent = await asyncio.open_connection(*address)
        # Open connections, of which the handshake is complete, do not count.
        for _ in range(3):
            assert await echo(files, address) == b"hello"
        _, also_silent = await asyncio.open_connection(*address)
        await eventually(lambda: limits._connections == 2)

        refused, third = await asyncio.open_connection(*address)
        assert await refused.read() == b""

        for each in (silent, also_silent, third):
            each.close()
        await eventually(lambda: limits._connections == 0)


async def test_a_handshake_that_takes_too_long_ends_the_connection(
    tls: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "HANDSHAKE_SECONDS", 0.05)
    limits = ConnectionLimits(max_connections=2)
    async with listening(tls, limits) as address:
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        writer.close()
        await eventually(lambda: limits._connections == 0)


async def test_connections_are_accepted_again_after_one_that_could_not_be(
    files: CertificateFiles, tls: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "_RETRY_SECONDS", 0.01)
    accept, failures = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def failing_once(bound: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(bound)

    monkeypatch.setattr(socket.socket, "accept", failing_once)
    async with listening(tls, ConnectionLimits(max_connections=2)) as address:
        assert await echo(files, address) == b"hello"
        assert not failures
