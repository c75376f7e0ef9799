"""A changed models file takes effect without a restart; a wrong one changes nothing."""

from pathlib import Path

import pytest
from inference_fakes.inference import Inference, Start

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.peers import key_variables

MODEL = "  - {name: %s, base_url: 'http://127.0.0.1:9/v1', context_size: 1000, key_file: %s}\n"


async def model_names(inference: Inference) -> list[str]:
    async with inference.request("GET", "/models") as response:
        return [model["id"] for model in (await response.json())["data"]]


async def test_a_changed_models_file_takes_effect_and_a_wrong_one_does_not(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    models, key = tmp_path / "models.yaml", tmp_path / "key"
    key.write_text("sk-first\n")
    models.write_text("models:\n" + MODEL % ("one", key))
    monkeypatch.setenv("PARLEY_INFERENCE_MODELS_PATH", str(models))
    for name, value in key_variables("inference").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PARLEY_SESSION_URL", "http://127.0.0.1:9")
    inference = await start(models_path=models)
    registry = inference.app.state.monitor.registry

    def reloads(outcome: str) -> float:
        value = registry.get_sample_value("parley_config_reloads_total", {"outcome": outcome})
        return value or 0

    assert await model_names(inference) == ["one"]

    models.write_text("models:\n" + MODEL % ("one", key) + MODEL % ("two", key))
    await eventually(lambda: reloads("ok") == 1)
    assert await model_names(inference) == ["one", "two"]

    models.write_text("models: [")
    await eventually(lambda: reloads("failed") == 1)
    assert await model_names(inference) == ["one", "two"]
    assert registry.get_sample_value("parley_config_reload_failed") == 1

    models.write_text("models:\n" + MODEL % ("three", key))
    await eventually(lambda: reloads("ok") == 2)
    assert await model_names(inference) == ["three"]

    key.write_text("sk-second-key\n")
    await eventually(lambda: reloads("ok") == 3)
