"""The process: `python -m parley_gateway`."""

import asyncio
import signal
from typing import Any

import pytest
from gateway_fakes.gateway import Client
from gateway_fakes.history import History
from gateway_fakes.inference import Inference, Stalls, deltas
from gateway_fakes.issuer import JWT_SECRET, token

from parley_cli.engines import free_port
from parley_gateway.__main__ import main
from parley_testing.peers import key_variables
from parley_testing.processes import started, until_ready
from parley_testing.serving import client_session
from parley_testing.session_service import FakeSessionService

RIGHT = {
    **key_variables("gateway"),
    "PARLEY_SESSION_URL": "http://127.0.0.1:9",
    "PARLEY_INFERENCE_URL": "http://127.0.0.1:9",
    "PARLEY_HISTORY_URL": "http://127.0.0.1:9",
    "PARLEY_JWT_SECRET": JWT_SECRET,
}
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----"
ISSUERS = {"PARLEY_JWT_SECRET": "", "PARLEY_OIDC_ISSUERS": "/nowhere.yaml"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"PARLEY_SESSION_URL": ""},
            "PARLEY_SESSION_URL is not set. It should be the base URL",
        ),
        (
            {"PARLEY_HISTORY_URL": "localhost"},
            "PARLEY_HISTORY_URL is wrong. It should be",
        ),
        ({"PARLEY_SIGNING_KEY": "short"}, "PARLEY_SIGNING_KEY is wrong: it should be a private"),
        (
            {"PARLEY_SIGNING_KEY": key_variables("inference")["PARLEY_SIGNING_KEY"]},
            "PARLEY_SIGNING_KEY is wrong: it is a key of inference; it should be one of gateway.",
        ),
        ({"PARLEY_SERVICE_KEYS": "[]"}, "PARLEY_SERVICE_KEYS is wrong: it should be a JSON Web"),
        (
            {"PARLEY_GATEWAY_PORT": "x"},
            "PARLEY_GATEWAY_PORT is wrong. It should be the port to listen on, from 1 to 65535.",
        ),
        ({"PARLEY_GATEWAY_TRUSTED_PROXIES": "proxy"}, "PARLEY_GATEWAY_TRUSTED_PROXIES is wrong"),
        ({"PARLEY_GATEWAY_MAX_STREAMS": "0"}, "PARLEY_GATEWAY_MAX_STREAMS is wrong."),
        (
            {"PARLEY_GATEWAY_REPLY_TIMEOUT_SECONDS": "-1"},
            "PARLEY_GATEWAY_REPLY_TIMEOUT_SECONDS is wrong.",
        ),
        ({"PARLEY_JWT_SECRET": ""}, "Set either PARLEY_JWT_SECRET"),
        ({"PARLEY_JWT_SECRET": "too short"}, "PARLEY_JWT_SECRET should be at least 32"),
        ({"PARLEY_JWT_SECRET": PUBLIC_KEY}, "PARLEY_JWT_SECRET is an asymmetric key"),
        (ISSUERS | {"PARLEY_JWT_SECRET": JWT_SECRET}, "Set either PARLEY_JWT_SECRET"),
        (ISSUERS, "PARLEY_OIDC_ISSUERS is wrong: it cannot be read"),
        ({"PARLEY_PRODUCTION": "1"}, "PARLEY_JWT_SECRET is for development"),
        (ISSUERS | {"PARLEY_PRODUCTION": "1"}, "PARLEY_OIDC_ISSUERS is wrong: it cannot be read"),
    ],
)
def test_invalid_settings_exit_with_code_2_and_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: Any, sentence: Any
) -> None:
    for variable, value in (RIGHT | wrong).items():
        monkeypatch.setenv(variable, value)
    assert main() == 2
    error = capsys.readouterr().err
    # A thread that exports spans of an earlier test may have logged something before.
    assert sentence in error
    assert JWT_SECRET not in error
    assert "too short" not in error


async def ready_gateway(
    session: FakeSessionService, inference: Inference, history: History, **settings: str
) -> tuple[asyncio.subprocess.Process, int]:
    """The process and its port."""
    port = free_port()
    urls = {
        "PARLEY_SESSION_URL": session.url,
        "PARLEY_INFERENCE_URL": inference.url,
        "PARLEY_HISTORY_URL": history.url,
        "PARLEY_GATEWAY_PORT": str(port),
    }
    process = await started("parley_gateway", **RIGHT | urls | settings)
    await until_ready(process, f"http://127.0.0.1:{port}")
    return process, port


async def test_connections_over_the_limit_per_address_are_refused(
    session: FakeSessionService, inference: Inference, history: History
) -> None:
    process, port = await ready_gateway(
        session, inference, history, PARLEY_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS="2"
    )

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async with asyncio.timeout(30):
        opened = [await connect() for _ in range(3)]
        response = await opened[2][0].read()
    for _, writer in opened:
        writer.close()
    process.terminate()
    _, error = await process.communicate()

    assert response.startswith(b"HTTP/1.1 503 ")
    assert b"too_many_connections" in response
    assert b"file descriptors" in error


async def test_sigterm_ends_open_streams_and_then_the_process(
    session: FakeSessionService, inference: Inference, history: History
) -> None:
    process, port = await ready_gateway(
        session, inference, history, PARLEY_GATEWAY_HANDOVER_SECONDS="0.1"
    )
    inference.script(deltas("private"), Stalls())
    bearer = token()
    async with client_session() as http:
        client = Client(f"http://127.0.0.1:{port}", http)
        async with client.stream("private words", bearer=bearer) as stream:
            await stream.until_text(7)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                assert await stream.events() == []
    _, error = await process.communicate()
    assert process.returncode == 0
    log = error.decode()
    assert "private" not in log
    assert bearer not in log
    assert "Traceback" not in log
