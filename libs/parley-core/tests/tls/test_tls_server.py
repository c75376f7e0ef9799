"""A server process with TLS: who may connect, and certificates that are replaced while it runs."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from core_fakes.certificates import CertificateFiles, ProcessSettings
from core_fakes.server_process import FAR_LIMIT, serving
from core_fakes.service import NAMES, client_of

from parley_cli.engines import free_port
from parley_core.http.errors import Unavailable
from parley_core.http.service_client import ServiceClient
from parley_core.runtime.settings import load
from parley_testing.eventually import eventually


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles(tmp_path / "own")


@pytest.fixture
def variables(files: CertificateFiles, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set for the server process."""
    variables = files.variables("server")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def key(variables: dict[str, str]) -> "Key":
    return Key(Path(variables["PARLEY_TLS_KEY_FILE"]))


class Key:
    """The file with the key of the server."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def replace(self, content: bytes) -> bytes:
        """Return what it had before."""
        before = self._path.read_bytes()
        self._path.write_bytes(content)
        return before


async def get(port: int, context: ssl.SSLContext | None, path: str = "/who") -> bytes:
    """The response to a request on a new connection; empty if there is none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        request = f"GET {path} HTTP/1.1\r\nhost: parley\r\nconnection: close\r\n\r\n"
        writer.write(request.encode())
        response = await reader.read()
        writer.close()
    except (ssl.SSLError, ConnectionError):
        return b""
    return response


async def serial_number(port: int, context: ssl.SSLContext) -> str:
    """That of the certificate which a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: Any = writer.get_extra_info("peercert")
    writer.close()
    return str(certificate["serialNumber"])


@pytest.mark.usefixtures("variables")
async def test_the_main_port_speaks_only_tls_and_the_management_port_none(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    management = free_port()
    monkeypatch.setenv("MANAGEMENT_PORT", str(management))
    async with serving(FAR_LIMIT) as (process, port):
        answer = await get(port, files.client())
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(str(process.pid).encode())
        assert not (await get(port, None)).startswith(b"HTTP/")
        assert (await get(management, None, "/livez")).startswith(b"HTTP/1.1 200")
        metrics = (await get(management, None, "/metrics")).decode()
        expiry = re.search(r"^parley_tls_certificate_expiry_timestamp_seconds (.+)", metrics, re.M)
        assert expiry
        # It is issued for a day.
        assert time.time() < float(expiry[1]) <= time.time() + 86_400


@pytest.mark.usefixtures("variables")
async def test_only_callers_with_a_certificate_of_the_client_authorities_are_admitted(
    files: CertificateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_TLS_CLIENT_CA_FILE", str(files.authority_file))
    stranger = CertificateFiles(tmp_path / "other")
    impostor = files.client()
    impostor.load_cert_chain(*stranger.write("server"))
    async with serving(FAR_LIMIT) as (_, port):
        assert (await get(port, files.client("caller"))).startswith(b"HTTP/1.1 200")
        assert await get(port, files.client()) == b""
        assert await get(port, impostor) == b""
        expired = files.client()
        expired.load_cert_chain(*files.write("expired", days=-1))
        assert await get(port, expired) == b""


@pytest.mark.usefixtures("variables")
async def test_an_authority_of_callers_that_was_removed_is_trusted_no_longer(
    files: CertificateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CertificateFiles(tmp_path / "other")
    before, after = files.client("caller"), files.client()
    after.load_cert_chain(*other.write("caller"))
    authorities = tmp_path / "authorities.pem"
    authorities.write_text(files.authority.certificate)
    monkeypatch.setenv("PARLEY_TLS_CLIENT_CA_FILE", str(authorities))
    async with serving(FAR_LIMIT) as (process, port):
        assert (await get(port, before)).startswith(b"HTTP/1.1 200")
        authorities.write_text(other.authority.certificate)
        await logged(process, b"settings reloaded")
        assert (await get(port, after)).startswith(b"HTTP/1.1 200")
        assert await get(port, before) == b""


async def test_a_replaced_certificate_is_used_for_new_connections_and_open_ones_stay(
    files: CertificateFiles, key: "Key"
) -> None:
    client = files.client()
    async with serving(FAR_LIMIT) as (process, port), streaming(port, client) as stream:
        before = await serial_number(port, client)
        # Its key does not match at first: the previous pair stays in use.
        fitting = key.replace(files.authority.issue("other").key.encode())
        await logged(process, b"changed settings are not used: PARLEY_TLS_KEY_FILE is wrong")
        assert await serial_number(port, client) == before

        key.replace(fitting)
        await logged(process, b"settings reloaded")
        files.write("server")
        await eventually(lambda: changed(port, client, before), within=20)

        process.terminate()
        assert (await stream.read()).endswith(b"ended\r\n0\r\n\r\n")


async def changed(port: int, client: ssl.SSLContext, before: str) -> bool:
    return await serial_number(port, client) != before


async def logged(process: Any, text: bytes) -> None:
    async with asyncio.timeout(20):
        while text not in (line := await process.stderr.readline()):
            assert line, "the process has ended"


@asynccontextmanager
async def streaming(port: int, client: ssl.SSLContext) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    writer.write(b"GET /ends HTTP/1.1\r\nhost: parley\r\n\r\n")
    await reader.readuntil(b"begun")
    yield reader
    writer.close()


async def test_a_service_presents_its_certificate_and_verifies_that_of_the_other(
    files: CertificateFiles,
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PARLEY_TLS_CLIENT_CA_FILE", str(files.authority_file))
    async with serving(FAR_LIMIT) as (process, port):
        monkeypatch.delenv("PARLEY_TLS_CLIENT_CA_FILE")
        of_caller = loaded(files.variables("gateway"), monkeypatch)
        url = f"https://localhost:{port}"
        async with client_of(url, tls=of_caller.tls) as caller:
            assert (await answered(caller)) == str(process.pid)

        # The server refuses a certificate of another authority.
        stranger = CertificateFiles(tmp_path / "other").variables("gateway")
        trusts_server = stranger | {"PARLEY_TLS_CA_FILE": str(files.authority_file)}
        refused = loaded(trusts_server, monkeypatch)
        async with client_of(url, tls=refused.tls) as caller:
            with pytest.raises(Unavailable):
                await answered(caller)
            await logged(process, b"TLS handshakes failed, the last one with 127.0.0.1: ")
            # The right certificate is used from the next call on.
            refused.tls.replace(of_caller.tls)
            assert (await answered(caller)) == str(process.pid)

        # The caller does not trust a server of another authority.
        async with client_of(url, tls=loaded(stranger, monkeypatch).tls) as caller:
            with pytest.raises(Unavailable):
                await answered(caller)
        assert "TLS with the session service fails: self-signed" in caplog.text


def loaded(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(ProcessSettings)


async def answered(caller: ServiceClient) -> str:
    return (await caller.call("GET", "/who", **NAMES)).body.decode()
