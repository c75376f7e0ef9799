"""Commands that call a gateway with HTTPS verify its certificate."""

import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.state_file import RunningProcess, RunningStack, StackLock, write_state_file


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"data": []}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PARLEY_DATA", str(tmp_path))
    monkeypatch.setenv("PARLEY_JWT_SECRET", "s" * 32)
    return tmp_path


@pytest.fixture
def url(data: Path) -> Iterator[str]:
    """A gateway with a certificate of the data folder's authority."""
    certificates = StackCertificates(data)
    certificates.issue(["gateway"], "127.0.0.1")
    files = certificates.of_engine("gateway")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate_file, files.key_file)
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


LIST = ["api-keys", "list", "--user", "ada"]


def test_the_authority_of_the_running_stack_is_trusted(
    url: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = RunningProcess("gateway", os.getpid(), url.removeprefix("https://"))
    write_state_file(data, RunningStack(url, [process]))
    with StackLock(data):
        assert main(LIST) == 0, capsys.readouterr().err


def test_of_another_gateway_the_reason_is_named(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LIST, "--url", url]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"The TLS connection to {url} failed: ")
    assert "run `parley trust`" in error
