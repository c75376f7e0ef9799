"""Inference uses the Redis of a changed file without a restart."""

from pathlib import Path
from typing import Any

import pytest
from core_fakes.mounted_secret import MountedSecret
from inference_fakes.inference import Start
from inference_fakes.model_server import ModelServer, reply

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.peers import key_variables
from parley_testing.session_service import FakeSessionService

UNREACHABLE = "redis://127.0.0.1:1/0"


async def test_turns_are_buffered_in_the_redis_that_a_changed_file_names(
    start: Start,
    model_server: ModelServer,
    session: FakeSessionService,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    secret = MountedSecret(tmp_path / "mounted", UNREACHABLE)
    variables = {
        **key_variables("inference"),
        "PARLEY_SESSION_URL": session.url,
        "PARLEY_MODEL": "demo",
        "PARLEY_REDIS_URL_FILE": str(secret.path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    inference = await start(redis={"url": UNREACHABLE})
    registry = inference.app.state.monitor.registry

    async def redis_up_after_turn() -> Any:
        model_server.script(*reply("Hello"))
        await inference.events(session.open_turn())
        return registry.get_sample_value("parley_dependency_up", {"dependency": "redis"})

    async def is_refused() -> Any:
        return await redis_up_after_turn() == 0

    await eventually(is_refused)
    secret.replace(redis_url)
    await eventually(redis_up_after_turn)
