"""The process as it is run: `python -m parley_inference`."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import aiohttp
import pytest
from inference_peers.eventually import eventually
from inference_peers.inference import KEY, SECRET, Client, client_session
from inference_peers.model_server import chunk, reply

from parley_inference.__main__ import main

RIGHT = {
    "PARLEY_INTERNAL_SECRET": SECRET,
    "PARLEY_SESSION_URL": "http://127.0.0.1:9",
    "PARLEY_MODEL": "demo",
    "OPENAI_API_KEY": KEY,
}


async def started(**environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    kept["PYTHONPATH"] = os.pathsep.join(sys.path)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "parley_inference",
        env=kept | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"PARLEY_SESSION_URL": ""}, "PARLEY_SESSION_URL is not set."),
        ({"PARLEY_SESSION_URL": "localhost"}, "PARLEY_SESSION_URL is wrong."),
        ({"PARLEY_INTERNAL_SECRET": "short"}, "PARLEY_INTERNAL_SECRET should be at least 32"),
        ({"PARLEY_MODEL": ""}, "PARLEY_MODEL is not set."),
        ({"PARLEY_MODELS": "/nowhere.yaml"}, "PARLEY_MODELS is wrong: it cannot be read"),
        ({"OPENAI_BASE_URL": "example.com"}, "OPENAI_BASE_URL is wrong."),
        ({"PARLEY_INFERENCE_TURNS": "0"}, "PARLEY_INFERENCE_TURNS is wrong."),
        ({"PARLEY_UPSTREAM_TOTAL_SECONDS": "-1"}, "PARLEY_UPSTREAM_TOTAL_SECONDS is wrong."),
    ],
)
def test_wrong_settings_end_the_start_with_code_2_and_a_sentence(
    monkeypatch, capsys, wrong, sentence
):
    for variable, value in (RIGHT | wrong).items():
        monkeypatch.setenv(variable, value)
    assert main() == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert KEY not in error


async def until_ready(client):
    async def ready():
        with contextlib.suppress(aiohttp.ClientError):
            async with client.request("GET", "/readyz", principal=None) as answer:
                return answer.status == 200

    await eventually(ready, within=20)


async def test_sigterm_finishes_the_reply_and_ends_with_code_0(model_server, session):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await started(
        **RIGHT
        | {
            "PARLEY_SESSION_URL": session.url,
            "OPENAI_BASE_URL": model_server.url,
            "PARLEY_INFERENCE_PORT": str(port),
        }
    )
    turn, paused = session.opens("private words"), asyncio.Event()
    model_server.script(chunk("private"), paused, *reply(" reply"))
    async with client_session() as http:
        client = Client(f"http://127.0.0.1:{port}", http)
        await until_ready(client)
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
