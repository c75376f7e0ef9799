"""The process, started as `python -m parley_inference`."""

import asyncio
import signal

import pytest
from inference_fakes.inference import KEY, Client
from inference_fakes.model_server import ModelServer, chunk, reply

from parley_cli.engines import free_port
from parley_inference.__main__ import main
from parley_testing.peers import key_variables
from parley_testing.processes import started, until_ready
from parley_testing.serving import client_session
from parley_testing.session_service import FakeSessionService

ENVIRONMENT = {
    **key_variables("inference"),
    "PARLEY_SESSION_URL": "http://127.0.0.1:9",
    "PARLEY_MODEL": "demo",
    "OPENAI_API_KEY": KEY,
}


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"PARLEY_SESSION_URL": ""}, "PARLEY_SESSION_URL is not set."),
        ({"PARLEY_SESSION_URL": "localhost"}, "PARLEY_SESSION_URL is wrong."),
        ({"PARLEY_SIGNING_KEY": "short"}, "PARLEY_SIGNING_KEY is wrong: it should be a private"),
        ({"PARLEY_SERVICE_KEYS": "{}"}, "PARLEY_SERVICE_KEYS is wrong: it should be a JSON Web"),
        ({"PARLEY_MODEL": ""}, "PARLEY_MODEL is not set."),
        (
            {"PARLEY_INFERENCE_MODELS_PATH": "/nowhere.yaml"},
            "PARLEY_INFERENCE_MODELS_PATH is wrong: it cannot be read",
        ),
        ({"OPENAI_BASE_URL": "example.com"}, "OPENAI_BASE_URL is wrong."),
        (
            {"PARLEY_REDIS_URL": "localhost"},
            "PARLEY_REDIS_URL is wrong. It should be a URL such as redis:",
        ),
        ({"PARLEY_INFERENCE_MAX_TURNS": "0"}, "PARLEY_INFERENCE_MAX_TURNS is wrong."),
        (
            {"PARLEY_INFERENCE_UPSTREAM_TOTAL_SECONDS": "-1"},
            "PARLEY_INFERENCE_UPSTREAM_TOTAL_SECONDS is wrong.",
        ),
    ],
)
def test_invalid_settings_exit_with_status_2_and_name_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    invalid: dict[str, str],
    message: str,
) -> None:
    for variable, value in (ENVIRONMENT | invalid).items():
        monkeypatch.setenv(variable, value)
    assert main() == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert KEY not in error


async def test_sigterm_finishes_the_reply_and_exits_with_status_0(
    model_server: ModelServer, session: FakeSessionService
) -> None:
    port = free_port()
    process = await started(
        "parley_inference",
        **ENVIRONMENT
        | {
            "PARLEY_SESSION_URL": session.url,
            "OPENAI_BASE_URL": model_server.url,
            "PARLEY_INFERENCE_PORT": str(port),
        },
    )
    turn, paused = session.open_turn("private words"), asyncio.Event()
    model_server.script(chunk("private"), paused, *reply(" reply"))
    url = f"http://127.0.0.1:{port}"
    await until_ready(process, url)
    async with client_session() as http:
        client = Client(url, http)
        async with client.stream(turn) as stream:
            await stream.until_text(7)
            process.send_signal(signal.SIGTERM)
            paused.set()
            events = await stream.events()
    assert events[-1]["type"] == "reply.completed"
    _, error = await process.communicate()
    assert process.returncode == 0
    assert "private" not in error.decode()
    assert KEY not in error.decode()
