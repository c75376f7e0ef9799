"""The key of a calling service is replaced while it calls: add, switch, remove."""

import json
from pathlib import Path
from typing import Any

import pytest
from session_support.client import token
from session_support.process import variables

from parley_core.process import settings_reloader
from parley_testing.eventually import eventually
from parley_testing.peers import signing_key

OLD, NEW = signing_key("gateway", 1), signing_key("gateway", 2)


async def test_a_key_is_replaced_in_three_steps_without_a_restart(
    serve: Any, runtime_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    for name, value in variables(runtime_database, service_keys="").items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "service-keys.json"
    monkeypatch.setenv("PARLEY_SERVICE_KEYS_FILE", str(file))

    def publish(*keys: Any) -> str:
        text = json.dumps({"keys": [key.public_jwk() for key in keys]})
        file.write_text(text)
        return text

    session = await serve(service_keys=publish(OLD))
    tokens = {key.id: token(key=key) for key in (OLD, NEW)}

    async def accepted() -> list[str]:
        """The keys whose tokens, each the same at every call, are accepted now."""
        responses = {
            key: await session.call("GET", "/limits", bearer=bearer)
            for key, bearer in tokens.items()
        }
        return [key for key, response in responses.items() if response.status == 200]

    async def becomes(*keys: str) -> None:
        async def is_reached() -> bool:
            return await accepted() == [*keys]

        await eventually(is_reached, within=30)

    assert await accepted() == ["gateway-1"]
    publish(OLD, NEW)
    await becomes("gateway-1", "gateway-2")
    file.write_text("{}")
    failed = "parley_config_reload_failed"

    async def is_refused() -> bool:
        return bool((await session.metrics()).get(failed) == 1)

    await eventually(is_refused, within=30)
    assert await accepted() == ["gateway-1", "gateway-2"]
    publish(NEW)
    await becomes("gateway-2")
