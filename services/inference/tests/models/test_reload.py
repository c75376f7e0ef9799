"""A changed models file takes effect without a restart; a wrong one changes nothing."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from inference_fakes.inference import Inference, Start

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

MODEL = "  - {name: %s, base_url: 'http://127.0.0.1:9/v1', context_size: 1000, key_file: %s}\n"
FULL_SERVER = """\
servers: [{base_url: '%s', connect_seconds: %s}]
models: [{name: demo, base_url: '%s', context_size: 1000}]
"""


@pytest.fixture
def full_server() -> Iterator[str]:
    """The URL of a server that accepts no connection, and whose queue of them is full."""
    with (
        closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener,
        closing(socket.create_connection(listener.getsockname())),
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def model_names(inference: Inference) -> list[str]:
    async with inference.request("GET", "/models") as response:
        return [model["id"] for model in (await response.json())["data"]]


def reloads(inference: Inference, outcome: str) -> float:
    registry = inference.app.state.monitor.registry
    return registry.get_sample_value("parley_config_reloads_total", {"outcome": outcome}) or 0


Write = Callable[[str], Path]
"""Writes the models file, and returns its path."""


@pytest.fixture
def write_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    path = tmp_path / "models.yaml"
    variables = {"PARLEY_INFERENCE_MODELS_PATH": str(path), "PARLEY_SESSION_URL": "http://unused"}
    for name, value in {**key_variables("inference"), **variables}.items():
        monkeypatch.setenv(name, value)

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write


async def test_a_changed_models_file_takes_effect_and_a_wrong_one_does_not(
    start: Start, tmp_path: Path, write_models: Write
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-first\n")
    inference = await start(models_path=write_models("models:\n" + MODEL % ("one", key)))
    assert await model_names(inference) == ["one"]

    write_models("models:\n" + MODEL % ("one", key) + MODEL % ("two", key))
    await eventually(lambda: reloads(inference, "ok") == 1)
    assert await model_names(inference) == ["one", "two"]

    write_models("models: [")
    await eventually(lambda: reloads(inference, "failed") == 1)
    assert await model_names(inference) == ["one", "two"]
    registry = inference.app.state.monitor.registry
    assert registry.get_sample_value("parley_config_reload_failed") == 1

    write_models("models:\n" + MODEL % ("three", key))
    await eventually(lambda: reloads(inference, "ok") == 2)
    assert await model_names(inference) == ["three"]

    key.write_text("sk-second-key\n")
    await eventually(lambda: reloads(inference, "ok") == 3)


async def test_a_changed_connect_timeout_applies_to_a_server_that_was_called_before(
    start: Start, write_models: Write, session: FakeSessionService, full_server: str
) -> None:
    inference = await start(models_path=write_models(FULL_SERVER % (full_server, 60, full_server)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await inference.events(session.open_turn())

    write_models(FULL_SERVER % (full_server, 0.1, full_server))
    await eventually(lambda: reloads(inference, "ok") == 1)
    async with asyncio.timeout(10):
        *_, last = await inference.events(session.open_turn())
    assert (last["type"], last["error"]["code"]) == ("reply.failed", "upstream_unavailable")
